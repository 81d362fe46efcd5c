/**
 * A loop as a WebGPU compute shader, in place.
 *
 * Binding 0 is a uniform struct: the element count, the number of invocations, then the inputs of
 * the host. The tensors follow, then, where there are any, the inputs of the device and the guard.
 * WGSL may assume that there are no NaNs, so the guard is tested by its exponent bits.
 */
import type { BinaryOp, CompareOp, UnaryOp } from "./expression.ts";
import type { Instruction, Loop } from "./loop.ts";

/** Invocations in a workgroup. */
export const WORKGROUP = 64;

/** The shader; with `guarded` it does nothing unless every element of the guard is finite. */
export function wgsl(loop: Loop, guarded: boolean): string {
  const { code, inputs, stores, tensors } = loop;
  const hostInputs = inputs.flatMap((input, i) => typeof input === "string" ? [] : [i]);
  const deviceInputs = inputs.flatMap((input, i) => typeof input === "string" ? [i] : []);
  let binding = 0;
  const storage = (name: string, access: string) =>
    `@group(0) @binding(${++binding}) var<storage, ${access}> ${name}: array<f32>;`;
  const input = (i: number) =>
    typeof inputs[i] === "string" ? `device[${deviceInputs.indexOf(i)}]` : `host.s${i}`;
  return [
    "struct Host {",
    "  count: u32,",
    "  invocations: u32,",
    ...hostInputs.map((i) => `  s${i}: f32,`),
    "}",
    "@group(0) @binding(0) var<uniform> host: Host;",
    ...tensors.map((_, t) => storage(`t${t}`, stores[t] === undefined ? "read" : "read_write")),
    ...(deviceInputs.length > 0 ? [storage("device", "read")] : []),
    ...(guarded ? [storage("guard", "read")] : []),
    `@compute @workgroup_size(${WORKGROUP})`,
    "fn main(@builtin(global_invocation_id) id: vec3u) {",
    ...(guarded ? GUARD : []),
    "  for (var i = id.x; i < host.count; i += host.invocations) {",
    ...code.map((step, i) => `    let v${i} = ${text(step, input)};`),
    ...stores.flatMap((value, t) => value === undefined ? [] : [`    t${t}[i] = v${value};`]),
    "  }",
    "}",
  ].join("\n");
}

const GUARD = [
  "  for (var i = 0u; i < arrayLength(&guard); i++) {",
  "    if ((bitcast<u32>(guard[i]) & 0x7f800000u) == 0x7f800000u) { return; }",
  "  }",
];

function text(step: Instruction, input: (i: number) => string): string {
  if (step.op === "load") return `t${step.tensor}[i]`;
  if (step.op === "input") return input(step.input);
  if (step.op === "select") {
    const { a, b, x, y, compare } = step;
    return `select(v${b}, v${a}, v${x} ${COMPARE[compare]} v${y})`;
  }
  return "b" in step ? BINARY[step.op](`v${step.a}`, `v${step.b}`) : UNARY[step.op](`v${step.a}`);
}

const UNARY: Record<UnaryOp, (a: string) => string> = {
  sqrt: (a) => `sqrt(${a})`,
  abs: (a) => `abs(${a})`,
  sign: (a) => `sign(${a})`,
};

const BINARY: Record<BinaryOp, (a: string, b: string) => string> = {
  add: (a, b) => `${a} + ${b}`,
  sub: (a, b) => `${a} - ${b}`,
  mul: (a, b) => `${a} * ${b}`,
  div: (a, b) => `${a} / ${b}`,
  min: (a, b) => `min(${a}, ${b})`,
  max: (a, b) => `max(${a}, ${b})`,
};

const COMPARE: Record<CompareOp, string> = { lt: "<", le: "<=", gt: ">", ge: ">=", eq: "==" };
