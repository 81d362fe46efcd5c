/**
 * Updates of plain memory, private or shared, whole or a slice, in place or elsewhere: every element
 * gets the bits it would get in any other slice, and the same bits in JavaScript and in WebAssembly. Whoever writes
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

/** Where new values go; what is left out is updated in place. */
export interface Targets<T> {
  readonly param?: T;
  readonly slots?: Readonly<Record<string, T>>;
}

/**
 * Updates elements [start, end) of arrays in JavaScript.
 *
 * @param targets As {@link updateMemory} takes them.
 */
export function updateArrays(
  update: Update,
  operands: MemoryOperands<Float32Array>,
  start: number = 0,
  end: number = operands.param.length,
  targets: Targets<Float32Array> = {},
): void {
  const [loop, inputs] = prepare(update, operands);
  const arrays = loop.tensors.map((leaf) => at(leaf, operands));
  const written = loop.tensors.map((leaf, i) => target(leaf, targets) ?? arrays[i]);
  runJavaScript(loop, arrays, inputs, start, end, written);
  for (const [from, to] of unwritten(update, operands, targets)) {
    to.set(from.subarray(start, end), start);
  }
}

/**
 * Updates `count` elements on a WebAssembly memory.
 *
 * @param operands The addresses of the first elements in bytes, multiples of 4.
 * @param targets Addresses for new values, which must overlap nothing that is read but what they
 * replace; a tensor that the update leaves as it is, is copied to its target.
 */
export function updateMemory(
  update: Update,
  memory: WebAssembly.Memory,
  operands: MemoryOperands<number>,
  count: number,
  targets?: Targets<number>,
): void {
  const [loop, inputs] = prepare(update, operands);
  const sources = loop.tensors.map((leaf) => at(leaf, operands));
  const written = loop.tensors.map((leaf, i) => target(leaf, targets) ?? sources[i]);
  const inPlace = targets === undefined;
  const run = wasmLoop(loop, memory, inPlace);
  if (run !== undefined) {
    const stored = inPlace ? [] : written.filter((_, i) => loop.stores[i] !== undefined);
    run(count, ...sources, ...stored, ...inputs);
  } else {
    const array = (address: number) => new Float32Array(memory.buffer, address, count);
    runJavaScript(loop, sources.map(array), inputs, 0, count, written.map(array));
  }
  for (const [from, to] of unwritten(update, operands, targets)) {
    new Uint8Array(memory.buffer).copyWithin(to, from, from + 4 * count);
  }
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

function target<T>(leaf: Leaf, { param, slots }: Targets<T> = {}): T | undefined {
  if (leaf.kind === "slot") return slots?.[leaf.name];
  return leaf.kind === "param" ? param : undefined;
}

/** The tensors with a target that the update has no new values for: from where to where. */
function unwritten<T>(
  { param: value, slots: values }: Update,
  { param, slots }: MemoryOperands<T>,
  targets: Targets<T> = {},
): [from: T, to: T][] {
  const moved: [T, T][] = [];
  if (targets.param !== undefined && value === undefined) moved.push([param, targets.param]);
  for (const name in targets.slots) {
    if (values?.[name] === undefined) moved.push([slots[name], targets.slots[name]]);
  }
  return moved;
}
