/**
 * A loop as a WebAssembly module: four elements an instruction, the last few one by one.
 *
 * The module imports a memory and exports `run(count, address of each tensor..., input...)`, which
 * works in place, or `run(count, address of each tensor..., address to store each tensor with new
 * values to..., input...)`, where the two addresses of a tensor are one or their elements do not
 * overlap. (In place it needs fewer registers.) Addresses need no alignment. The last elements run
 * through the same four-lane instructions with three lanes idle, so a result does not depend on where
 * its element lies. There is no fused multiply-add.
 */
import type { BinaryOp, CompareOp, UnaryOp } from "./expression.ts";
import type { Instruction, Loop } from "./loop.ts";
import { aligned, F32, get, I32, moduleBytes, set, simd, turns, V128 } from "./wasm_bytes.ts";

/** Elements in one turn of the main loop. */
const TURN = 8;

/** The module's bytes; `shared` says whether its memory is. */
export function wasmModule(
  loop: Loop,
  inPlace: boolean,
  shared: boolean,
): Uint8Array<ArrayBuffer> {
  const { code, tensors, stores, inputs } = loop;
  // Parameters and locals: the count, the addresses, the inputs, then four lanes an instruction.
  const stored = stores.flatMap((value, tensor) => inPlace || value === undefined ? [] : [tensor]);
  const addresses = [...tensors, ...stored].map((_, i) => 1 + i);
  const places: Places = {
    load: (tensor) => 1 + tensor,
    store: (tensor) => 1 + (inPlace ? tensor : tensors.length + stored.indexOf(tensor)),
    lanes: (i) => 1 + addresses.length + inputs.length + i,
  };
  const splats = code.flatMap((step, i) =>
    step.op === "input"
      ? [...get(1 + addresses.length + step.input), ...simd(SPLAT), ...set(places.lanes(i))]
      : []
  );
  const offsets = Array.from({ length: TURN / 4 }, (_, i) => 16 * i);
  const many = offsets.flatMap((offset) => body(loop, places, offset, FOUR));
  const run = {
    parameters: [I32, ...addresses.map(() => I32), ...inputs.map(() => F32)],
    results: [],
    locals: code.length === 0 ? [] : [[code.length, V128] as const],
    code: [
      ...splats,
      ...turns(0, addresses, TURN, many),
      ...turns(0, addresses, 1, body(loop, places, 0, ONE)),
    ],
  };
  return moduleBytes(run, shared);
}

/** Which locals hold the addresses of a tensor, and the lanes of an instruction's result. */
interface Places {
  load(tensor: number): number;
  store(tensor: number): number;
  lanes(instruction: number): number;
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
function body(loop: Loop, places: Places, offset: number, width: Width): number[] {
  const at = aligned(offset);
  const value = (i: number): number[] => get(places.lanes(i));
  const steps = loop.code.flatMap((step, i) => {
    if (step.op === "input") return [];
    const result = step.op === "load"
      ? [...get(places.load(step.tensor)), ...width.load, ...at]
      : compute(step, value);
    return [...result, ...set(places.lanes(i))];
  });
  const stores = loop.stores.flatMap((stored, tensor) =>
    stored === undefined
      ? []
      : [...get(places.store(tensor)), ...value(stored), ...width.store, ...at, ...width.lane]
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

/** A constant in four lanes. */
function splat(value: number): number[] {
  return [0x43, ...new Uint8Array(new Float32Array([value]).buffer), ...simd(SPLAT)];
}
