/**
 * A loop in JavaScript, without compiling text (which a content security policy may forbid).
 *
 * Each instruction runs over a block of elements that stays in the cache. Results go through
 * Float32Arrays, which round them after every operation as the other forms do: for these operations
 * a double result rounded once more is the correctly rounded float32 result.
 */
import type { BinaryOp, CompareOp, UnaryOp } from "./expression.ts";
import type { Instruction, Loop } from "./loop.ts";

const BLOCK = 512;

/**
 * Runs `loop` on elements [start, end).
 *
 * @param tensors In the order of `loop.tensors`.
 * @param inputs In the order of `loop.inputs`.
 * @param targets Where new values go, in the order of `tensors`; in place if left out.
 */
export function runJavaScript(
  loop: Loop,
  tensors: readonly Float32Array[],
  inputs: readonly number[],
  start: number,
  end: number,
  targets: readonly (Float32Array | undefined)[] = tensors,
): void {
  const { code, stores } = loop;
  while (registers.length < code.length) registers.push(new Float32Array(BLOCK));
  code.forEach((instruction, i) => {
    if (instruction.op === "input") registers[i].fill(inputs[instruction.input]);
  });
  for (let at = start; at < end; at += BLOCK) {
    const n = Math.min(BLOCK, end - at);
    for (let i = 0; i < code.length; i++) {
      const step = code[i];
      if (step.op === "load") registers[i].set(tensors[step.tensor].subarray(at, at + n));
      else if (step.op !== "input") compute(step, registers[i], n);
    }
    for (let t = 0; t < stores.length; t++) {
      const value = stores[t];
      if (value !== undefined) targets[t]!.set(registers[value].subarray(0, n), at);
    }
  }
}

/** A block for the result of each instruction, used by every loop in turn. */
const registers: Float32Array[] = [];

type Computation = Exclude<Instruction, { op: "load" | "input" }>;

function compute(step: Computation, out: Float32Array, n: number): void {
  if (step.op === "select") {
    const { compare, x, y, a, b } = step;
    selects[compare](out, registers[x], registers[y], registers[a], registers[b], n);
  } else if ("b" in step) {
    binaries[step.op](out, registers[step.a], registers[step.b], n);
  } else {
    unaries[step.op](out, registers[step.a], n);
  }
}

type Block = Float32Array;

// One loop an operation, so that each is compiled with its operation in it.

const unaries: Record<UnaryOp, (out: Block, a: Block, n: number) => void> = {
  sqrt(out, a, n) {
    for (let i = 0; i < n; i++) out[i] = Math.sqrt(a[i]);
  },
  abs(out, a, n) {
    for (let i = 0; i < n; i++) out[i] = Math.abs(a[i]);
  },
  sign(out, a, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] > 0 ? 1 : a[i] < 0 ? -1 : 0;
  },
};

const binaries: Record<BinaryOp, (out: Block, a: Block, b: Block, n: number) => void> = {
  add(out, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] + b[i];
  },
  sub(out, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] - b[i];
  },
  mul(out, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] * b[i];
  },
  div(out, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] / b[i];
  },
  min(out, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = Math.min(a[i], b[i]);
  },
  max(out, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = Math.max(a[i], b[i]);
  },
};

const selects: Record<
  CompareOp,
  (out: Block, x: Block, y: Block, a: Block, b: Block, n: number) => void
> = {
  lt(out, x, y, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = x[i] < y[i] ? a[i] : b[i];
  },
  le(out, x, y, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = x[i] <= y[i] ? a[i] : b[i];
  },
  gt(out, x, y, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = x[i] > y[i] ? a[i] : b[i];
  },
  ge(out, x, y, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = x[i] >= y[i] ? a[i] : b[i];
  },
  eq(out, x, y, a, b, n) {
    for (let i = 0; i < n; i++) out[i] = x[i] === y[i] ? a[i] : b[i];
  },
};
