/**
 * A loop as a WebAssembly module: four elements an instruction, the last few one by one.
 *
 * The module imports a memory and exports `run(count, address of each tensor..., input...)`, which
 * works in place; addresses need no alignment. The last elements run through the same four-lane
 * instructions with three lanes idle, so a result does not depend on where its element lies. There
 * is no fused multiply-add.
 */
import type { BinaryOp, CompareOp, UnaryOp } from "./expression.ts";
import type { Instruction, Loop } from "./loop.ts";

/** Elements in one turn of the main loop. */
const TURN = 8;

/** The module's bytes; `shared` says whether its memory is. */
export function wasmModule(loop: Loop, shared: boolean): Uint8Array<ArrayBuffer> {
  const parameters = [I32, ...loop.tensors.map(() => I32), ...loop.inputs.map(() => F32)];
  const anySize = shared ? [0x03, 0, ...unsigned(65536)] : [0x00, 0];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic, version
    ...section(1, [1, 0x60, ...counted(parameters), 0]),
    ...section(2, [1, ...name("env"), ...name("memory"), 0x02, ...anySize]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name("run"), 0x00, 0]),
    ...section(10, [1, ...counted(functionBody(loop))]),
  ]);
}

/** Parameters and locals: the count, the addresses, the inputs, then four lanes an instruction. */
function functionBody(loop: Loop): number[] {
  const { code, tensors, inputs } = loop;
  const lanes = 1 + tensors.length + inputs.length;
  const splats = code.flatMap((step, i) =>
    step.op === "input"
      ? [...get(1 + tensors.length + step.input), ...simd(SPLAT), ...set(lanes + i)]
      : []
  );
  const offsets = Array.from({ length: TURN / 4 }, (_, i) => 16 * i);
  return [
    ...(code.length === 0 ? [0] : [1, ...unsigned(code.length), V128]),
    ...splats,
    ...turns(tensors.length, TURN, offsets.flatMap((offset) => body(loop, lanes, offset, FOUR))),
    ...turns(tensors.length, 1, body(loop, lanes, 0, ONE)),
    END,
  ];
}

/** Repeats `content` as long as `step` elements are left. */
function turns(tensors: number, step: number, content: readonly number[]): number[] {
  const advance = Array.from({ length: tensors }, (_, i) => i + 1).flatMap((address) => [
    ...get(address),
    ...i32(4 * step),
    I32_ADD,
    ...set(address),
  ]);
  // block, loop, leave if count < step
  const head = [BLOCK, VOID, LOOP, VOID, ...get(0), ...i32(step), I32_LT_U, BR_IF, 1];
  const next = [...get(0), ...i32(step), I32_SUB, ...set(0), BR, 0];
  return [...head, ...content, ...advance, ...next, END, END];
}

interface Width {
  readonly load: readonly number[];
  readonly store: readonly number[];
  /** After the offset of a store. */
  readonly lane: readonly number[];
}

const FOUR: Width = { load: simd(0x00), store: simd(0x0b), lane: [] };
const ONE: Width = { load: simd(0x5c), store: simd(0x5a), lane: [0] };

/** All loads and computations, then the stores. */
function body(loop: Loop, lanes: number, offset: number, width: Width): number[] {
  const at = [2, ...unsigned(offset)]; // aligned to 4 bytes
  const value = (i: number): number[] => get(lanes + i);
  const steps = loop.code.flatMap((step, i) => {
    if (step.op === "input") return [];
    const result = step.op === "load"
      ? [...get(1 + step.tensor), ...width.load, ...at]
      : compute(step, value);
    return [...result, ...set(lanes + i)];
  });
  const stores = loop.stores.flatMap((stored, tensor) =>
    stored === undefined
      ? []
      : [...get(1 + tensor), ...value(stored), ...width.store, ...at, ...width.lane]
  );
  return [...steps, ...stores];
}

function compute(
  step: Exclude<Instruction, { op: "load" | "input" }>,
  value: (i: number) => number[],
): number[] {
  if (step.op === "select") {
    const { compare, x, y, a, b } = step;
    const mask = [...value(x), ...value(y), ...simd(COMPARE[compare])];
    return [...value(a), ...value(b), ...mask, ...simd(BITSELECT)];
  }
  if ("b" in step) return [...value(step.a), ...value(step.b), ...simd(BINARY[step.op])];
  if (step.op !== "sign") return [...value(step.a), ...simd(UNARY[step.op])];
  const where = (compare: CompareOp, result: number): number[] => [
    ...[...value(step.a), ...splat(0), ...simd(COMPARE[compare])],
    ...[...splat(result), ...simd(AND)],
  ];
  return [...where("gt", 1), ...where("lt", -1), ...simd(OR)];
}

// Opcodes, https://webassembly.github.io/spec/core/binary/instructions.html

const I32 = 0x7f, F32 = 0x7d, V128 = 0x7b, VOID = 0x40;
const BLOCK = 0x02, LOOP = 0x03, END = 0x0b, BR = 0x0c, BR_IF = 0x0d;
const I32_LT_U = 0x49, I32_ADD = 0x6a, I32_SUB = 0x6b;
const SPLAT = 0x13, AND = 0x4e, OR = 0x50, BITSELECT = 0x52;
const UNARY: Record<Exclude<UnaryOp, "sign">, number> = { abs: 0xe0, sqrt: 0xe3 };
const BINARY: Record<BinaryOp, number> = {
  add: 0xe4,
  sub: 0xe5,
  mul: 0xe6,
  div: 0xe7,
  min: 0xe8,
  max: 0xe9,
};
const COMPARE: Record<CompareOp, number> = { eq: 0x41, lt: 0x43, gt: 0x44, le: 0x45, ge: 0x46 };

const get = (local: number): number[] => [0x20, ...unsigned(local)];
const set = (local: number): number[] => [0x21, ...unsigned(local)];
const i32 = (value: number): number[] => [0x41, value]; // -64 to 63

function simd(op: number): number[] {
  return [0xfd, ...unsigned(op)];
}

/** A constant in four lanes. */
function splat(value: number): number[] {
  return [0x43, ...new Uint8Array(new Float32Array([value]).buffer), ...simd(SPLAT)];
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

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [value & 127 | 128, ...unsigned(value >>> 7)];
}
