/**
 * Sums of squares over blocks of 4096 elements, in double precision, where the square of a float32
 * is exact and cannot overflow. A block's sum does not depend on who computes it, in which slice or
 * in which form.
 *
 * Order: element i of a block goes to accumulator i mod 8; at its end
 * ((a0 + a2) + (a4 + a6)) + ((a1 + a3) + (a5 + a7)).
 */
import { wasmFunction } from "./wasm.ts";
import { F64, get, I32, load, moduleBytes, set, simd, turns, V128 } from "./wasm_bytes.ts";

/** Elements in a block. */
export const BLOCK = 4096;

/**
 * One sum for each block of values[start, end), the last of which may be shorter, to out[at...].
 *
 * @param start A multiple of 4096, counted from the first element of the tensor that is summed.
 */
export function blockSquares(
  values: Float32Array,
  start: number,
  end: number,
  out: Float64Array,
  at: number,
): void {
  for (let from = start; from < end; from += BLOCK) {
    out[at++] = squares(values, from, Math.min(from + BLOCK, end));
  }
}

/**
 * The same for `count` elements on a WebAssembly memory, private or shared.
 *
 * @param address Of the first element of a block in bytes, a multiple of 4.
 */
export function squareBlocksMemory(
  memory: WebAssembly.Memory,
  address: number,
  count: number,
  out: Float64Array,
  at: number,
): void {
  const block = wasmFunction("squares of a block", memory, wasmSquares);
  const whole = wholeBlocks(block, [address], count, out, at);
  const rest = new Float32Array(memory.buffer, address, count);
  blockSquares(rest, whole * BLOCK, count, out, at + whole);
}

/**
 * What `run`, a module of {@link squaresModule}, answers for each whole block, to out[at...].
 *
 * @returns How many blocks it was: none without `run`.
 */
export function wholeBlocks(
  run: ReturnType<typeof wasmFunction>,
  addresses: readonly number[],
  count: number,
  out: Float64Array,
  at: number,
): number {
  if (run === undefined) return 0;
  const whole = Math.floor(count / BLOCK);
  for (let i = 0; i < whole; i++) {
    out[at + i] = run(BLOCK, ...addresses.map((address) => address + 4 * BLOCK * i)) as number;
  }
  return whole;
}

function squares(x: Float32Array, start: number, end: number): number {
  let a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    a0 += x[i] * x[i];
    a1 += x[i + 1] * x[i + 1];
    a2 += x[i + 2] * x[i + 2];
    a3 += x[i + 3] * x[i + 3];
    a4 += x[i + 4] * x[i + 4];
    a5 += x[i + 5] * x[i + 5];
    a6 += x[i + 6] * x[i + 6];
    a7 += x[i + 7] * x[i + 7];
  }
  if (i < end) a0 += x[i] * x[i];
  if (i + 1 < end) a1 += x[i + 1] * x[i + 1];
  if (i + 2 < end) a2 += x[i + 2] * x[i + 2];
  if (i + 3 < end) a3 += x[i + 3] * x[i + 3];
  if (i + 4 < end) a4 += x[i + 4] * x[i + 4];
  if (i + 5 < end) a5 += x[i + 5] * x[i + 5];
  if (i + 6 < end) a6 += x[i + 6] * x[i + 6];
  return ((a0 + a2) + (a4 + a6)) + ((a1 + a3) + (a5 + a7));
}

const PROMOTE_LOW = 0x5f, LANE = 0x21, ADD = 0xf0, MULTIPLY = 0xf2, SCALAR_ADD = 0xa0;
const SHUFFLE = 0x0d;
const UPPER_HALF = [8, 9, 10, 11, 12, 13, 14, 15];

/** `run(count, address)` for a multiple of 8 elements. */
function wasmSquares(shared: boolean): Uint8Array<ArrayBuffer> {
  const four = (offset: number, into: number) => [...load(1, offset), ...set(into)];
  return squaresModule([1], four, shared);
}

/**
 * A function of a count, a multiple of 8, and of `addresses` in the locals from 1 on: the sum of the
 * squares of what `four` puts into a local for each four elements, `offset` bytes from the addresses on.
 * Accumulators 2 k and 2 k + 1 are in a vector each.
 */
export function squaresModule(
  addresses: readonly number[],
  four: (offset: number, into: number) => number[],
  shared: boolean,
): Uint8Array<ArrayBuffer> {
  const first = 1 + addresses.length;
  const values = first + 4, pair = first + 5;
  const square = (sum: number): number[] => [
    ...[...simd(PROMOTE_LOW), ...set(pair)],
    ...[...get(pair), ...get(pair), ...simd(MULTIPLY), ...get(sum), ...simd(ADD), ...set(sum)],
  ];
  const turn = [0, 1].flatMap((half) => [
    ...four(16 * half, values),
    ...[...get(values), ...square(first + 2 * half)],
    ...[...get(values), ...get(values), ...simd(SHUFFLE), ...UPPER_HALF, ...UPPER_HALF],
    ...square(first + 2 * half + 1),
  ]);
  const [a, b, c, d] = [0, 1, 2, 3].map((k) => get(first + k));
  const total = [...a, ...b, ...simd(ADD), ...c, ...d, ...simd(ADD), ...simd(ADD), ...set(pair)];
  const lanes = [0, 1].flatMap((lane) => [...get(pair), ...simd(LANE), lane]);
  return moduleBytes({
    parameters: [I32, ...addresses.map(() => I32)],
    results: [F64],
    locals: [[6, V128]],
    code: [...turns(0, addresses, 8, turn), ...total, ...lanes, SCALAR_ADD],
  }, shared);
}
