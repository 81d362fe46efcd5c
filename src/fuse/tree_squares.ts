/** A sum of arrays and the sums of squares of its blocks, in one pass over the memory. */
import { BLOCK, squareBlocksMemory, squaresModule, wholeBlocks } from "./block_squares.ts";
import { addGroups, addTree, splitOf } from "./tree_sum.ts";
import { wasmFunction } from "./wasm.ts";
import { load, set, simd, store } from "./wasm_bytes.ts";

/**
 * As {@link addTree}, and then {@link squareBlocksMemory} of the sum.
 *
 * @param sources At least two.
 * @param out One sum for each block, from `at` on.
 */
export function addTreeSquares(
  memory: WebAssembly.Memory,
  sources: readonly number[],
  target: number,
  count: number,
  out: Float64Array,
  at: number,
): void {
  const few = addGroups(memory, sources, count);
  const key = `squares of a sum of ${few.length}`;
  const block = wasmFunction(key, memory, (shared) => sumSquares(few.length, shared));
  const whole = wholeBlocks(block, [target, ...few], count, out, at);
  const rest = count - whole * BLOCK;
  if (rest === 0) return;
  const [to, ...from] = [target, ...few].map((address) => address + 4 * BLOCK * whole);
  addTree(memory, from, to, rest);
  squareBlocksMemory(memory, to, rest, out, at + whole);
}

const ADD = 0xe4;

/** `run(count, target, ...sources)` for a multiple of 8 elements. */
function sumSquares(sources: number, shared: boolean): Uint8Array<ArrayBuffer> {
  const target = 1;
  const addresses = Array.from({ length: 1 + sources }, (_, i) => target + i);
  const sumOf = (start: number, end: number, offset: number): number[] => {
    const count = end - start;
    if (count === 1) return load(target + 1 + start, offset);
    const middle = start + splitOf(count);
    return [...sumOf(start, middle, offset), ...sumOf(middle, end, offset), ...simd(ADD)];
  };
  const four = (offset: number, into: number): number[] => [
    ...[...sumOf(0, sources, offset), ...set(into)],
    ...store(target, into, offset),
  ];
  return squaresModule(addresses, four, shared);
}
