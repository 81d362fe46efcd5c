/** The bytes of WebAssembly modules of one function on an imported memory. */

/** The function that a module exports as `run`. */
export interface WasmFunction {
  readonly parameters: readonly number[];
  readonly results: readonly number[];
  /** Counts and types of the locals that follow the parameters. */
  readonly locals: readonly (readonly [number, number])[];
  readonly code: readonly number[];
}

/** A module that imports `env.memory`; `shared` says whether that is. */
export function moduleBytes(run: WasmFunction, shared: boolean): Uint8Array<ArrayBuffer> {
  const anySize = shared ? [0x03, 0, ...unsigned(65536)] : [0x00, 0];
  const locals = run.locals.flatMap(([count, type]) => [...unsigned(count), type]);
  const body = [...unsigned(run.locals.length), ...locals, ...run.code, END];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic, version
    ...section(1, [1, 0x60, ...counted(run.parameters), ...counted(run.results)]),
    ...section(2, [1, ...name("env"), ...name("memory"), 0x02, ...anySize]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name("run"), 0x00, 0]),
    ...section(10, [1, ...counted(body)]),
  ]);
}

// Types and opcodes, https://webassembly.github.io/spec/core/binary/instructions.html

/** Types of values. */
export const I32 = 0x7f, F32 = 0x7d, F64 = 0x7c, V128 = 0x7b;

const VOID = 0x40;
const BLOCK = 0x02, LOOP = 0x03, END = 0x0b, BR = 0x0c, BR_IF = 0x0d;
const I32_LT_U = 0x49, I32_ADD = 0x6a, I32_SUB = 0x6b;

/** The value of a local. */
export const get = (local: number): number[] => [0x20, ...unsigned(local)];

/** Takes the new value of a local. */
export const set = (local: number): number[] => [0x21, ...unsigned(local)];

/** A vector instruction. */
export const simd = (op: number): number[] => [0xfd, ...unsigned(op)];

/** The vector at the address in a local, and `offset` bytes on. */
export const load = (
  address: number,
  offset: number,
): number[] => [...get(address), ...simd(0x00), ...aligned(offset)];

/** Writes the vector in local `value` to the address in a local, and `offset` bytes on. */
export const store = (
  address: number,
  value: number,
  offset: number,
): number[] => [...get(address), ...get(value), ...simd(0x0b), ...aligned(offset)];

/** What follows the instruction of a load or a store: aligned to 4 bytes. */
export const aligned = (offset: number): number[] => [2, ...unsigned(offset)];

/** `content`, then the addresses advance by 4 * step bytes, as long as `step` elements are left. */
export function turns(
  count: number,
  addresses: readonly number[],
  step: number,
  content: readonly number[],
): number[] {
  const advance = addresses.flatMap((local) => [
    ...[...get(local), ...i32(4 * step), I32_ADD],
    ...set(local),
  ]);
  // block, loop, leave if count < step
  const head = [BLOCK, VOID, LOOP, VOID, ...get(count), ...i32(step), I32_LT_U, BR_IF, 1];
  const next = [...get(count), ...i32(step), I32_SUB, ...set(count), BR, 0];
  return [...head, ...content, ...advance, ...next, END, END];
}

const i32 = (value: number): number[] => [0x41, value]; // -64 to 63

/** LEB128. */
export function unsigned(value: number): number[] {
  return value < 128 ? [value] : [value & 127 | 128, ...unsigned(value >>> 7)];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...counted(content)];
}

function name(text: string): number[] {
  return counted([...text].map((character) => character.charCodeAt(0)));
}

function counted(content: readonly number[]): number[] {
  return [...unsigned(content.length), ...content];
}
