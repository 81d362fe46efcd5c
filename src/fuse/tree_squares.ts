/** A sum of arrays and the sums of squares of its blocks, in one pass over the memory. */
import { BLOCK, squareBlocksMemory, squaresModule } from "./block_squares.ts";
import { addGroups, addTree, splitOf } from "./tree_sum.ts";
import { wasmFunction } from "./wasm.ts";
import { get, set, simd } from "./wasm_bytes.ts";

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
  const whole = block === undefined ? 0 : Math.floor(count / BLOCK);
  const bytes = 4 * BLOCK;
  const addresses = [target, ...few];
  for (let i = 0; i < whole; i++) {
    out[at + i] = block!(BLOCK, ...addresses.map((address) => address + bytes * i)) as number;
  }
  if (count === whole * BLOCK) return;
  const rest = few.map((address) => address + bytes * whole);
  addTree(memory, rest, target + bytes * whole, count - whole * BLOCK);
  squareBlocksMemory(memory, target + bytes * whole, count - whole * BLOCK, out, at + whole);
}

const LOAD = 0x00, STORE = 0x0b, ADD = 0xe4;

/** `run(count, target, ...sources)` for a multiple of 8 elements. */
function sumSquares(sources: number, shared: boolean): Uint8Array<ArrayBuffer> {
  const target = 1;
  const addresses = Array.from({ length: 1 + sources }, (_, i) => target + i);
  const sumOf = (start: number, end: number, offset: number): number[] => {
    const count = end - start;
    if (count === 1) return [...get(target + 1 + start), ...simd(LOAD), 2, offset];
    const middle = start + splitOf(count);
    return [...sumOf(start, middle, offset), ...sumOf(middle, end, offset), ...simd(ADD)];
  };
  const four = (offset: number, into: number): number[] => [
    ...[...sumOf(0, sources, offset), ...set(into)],
    ...[...get(target), ...get(into), ...simd(STORE), 2, offset],
  ];
  return squaresModule(addresses, four, shared);
}
