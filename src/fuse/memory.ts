/**
 * Updates of plain memory, private or shared, whole or a slice: every element gets the bits it
 * would get in any other slice, and the same bits in JavaScript and in WebAssembly. Whoever writes
 * to a tensor of tfjs' wasm backend this way tells its kernels, which keep packed weights: see
 * `host.ts`.
 */
import type { Update } from "./expression.ts";
import { runJavaScript } from "./javascript.ts";
import { hostInput, type Leaf, type Loop, loopOf, SCALE } from "./loop.ts";
import { wasmLoop } from "./wasm.ts";

/** What an update of memory works on; `T` says where a tensor is. */
export interface MemoryOperands<T> {
  readonly param: T;
  readonly gradient: T;
  /** Multiplies the gradient before anything else. @default 1 */
  readonly scale?: number;
  readonly slots: Readonly<Record<string, T>>;
  readonly scalars: Readonly<Record<string, number>>;
}

/** Updates elements [start, end) of arrays in JavaScript, in place. */
export function updateArrays(
  update: Update,
  operands: MemoryOperands<Float32Array>,
  start: number = 0,
  end: number = operands.param.length,
): void {
  const [loop, inputs] = prepare(update, operands);
  runJavaScript(loop, loop.tensors.map((leaf) => at(leaf, operands)), inputs, start, end);
}

/**
 * Updates `count` elements on a WebAssembly memory, in place.
 *
 * @param operands The addresses of the first elements in bytes, multiples of 4.
 */
export function updateMemory(
  update: Update,
  memory: WebAssembly.Memory,
  operands: MemoryOperands<number>,
  count: number,
): void {
  const [loop, inputs] = prepare(update, operands);
  const addresses = loop.tensors.map((leaf) => at(leaf, operands));
  const run = wasmLoop(loop, memory);
  if (run !== undefined) return run(count, ...addresses, ...inputs);
  const arrays = addresses.map((address) => new Float32Array(memory.buffer, address, count));
  runJavaScript(loop, arrays, inputs, 0, count);
}

function prepare(update: Update, operands: MemoryOperands<unknown>): [Loop, number[]] {
  const { scale = 1, scalars } = operands;
  const all = scale === 1 ? scalars : { ...scalars, [SCALE]: scale };
  const loop = loopOf(update, all);
  return [loop, loop.inputs.map((input) => hostInput(input, all))];
}

function at<T>(leaf: Leaf, { param, gradient, slots }: MemoryOperands<T>): T {
  if (leaf.kind === "slot") return slots[leaf.name];
  return leaf.kind === "param" ? param : gradient;
}
