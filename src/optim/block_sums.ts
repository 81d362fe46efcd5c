/**
 * The squared norm of gradients where they lie in the memory of the program: sums over blocks of 4096
 * elements of each tensor, combined in a fixed tree, all in double precision. So whoever shares
 * the blocks out gets the same bits, and a finite gradient has a finite norm.
 */
import { BLOCK, blockSquares, squareBlocksMemory } from "../fuse/block_squares.ts";
import { wasmPlaceOf } from "../fuse/host.ts";
import { splitOf } from "../fuse/tree_sum.ts";
import type * as tf from "../tensor/tf.ts";

export { BLOCK, blockSquares, squareBlocksMemory };

/** How many sums {@link blockSquares} gives for a tensor of `size` elements. */
export const blockCount = (size: number): number => Math.ceil(size / BLOCK);

/** The sum of values[start, end): n of them split at the largest power of two below n; 0 if none. */
export function treeSum(
  values: Float64Array | readonly number[],
  start = 0,
  end: number = values.length,
): number {
  const count = end - start;
  if (count < 2) return count === 1 ? values[start] : 0;
  const middle = start + splitOf(count);
  return treeSum(values, start, middle) + treeSum(values, middle, end);
}

/**
 * The sum of squares of all elements on cpu and wasm, which have them in the memory of the program:
 * it looks there, and copies nothing of type float32.
 */
export function hostSquaredNorm(tensors: readonly tf.Tensor[]): number {
  const blocks = new Float64Array(tensors.reduce((sum, { size }) => sum + blockCount(size), 0));
  let at = 0;
  for (const tensor of tensors) {
    if (tensor.size === 0) continue;
    const place = tensor.dtype === "float32" ? wasmPlaceOf(tensor) : undefined;
    if (place === undefined) {
      const given = tensor.dataSync();
      const values = given instanceof Float32Array ? given : Float32Array.from(given);
      blockSquares(values, 0, tensor.size, blocks, at);
    } else {
      squareBlocksMemory(place.memory, place.address, tensor.size, blocks, at);
    }
    at += blockCount(tensor.size);
  }
  return treeSum(blocks);
}
