/**
 * Elementwise functions of two tensors with broadcasting, on as/binary.ts.
 *
 * Neighbouring axes that broadcast alike are one axis. The two innermost of what is left are rows and
 * columns of one call; the others are a loop of calls.
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import { isPlain } from "./copy.ts";
import type { Kernel, KernelRows } from "./kernel.ts";
import type { KernelExports } from "./module.ts";
import { broadcastStrides, forEachOffset } from "./strides.ts";

/** One function of the module over rows. */
type Loop = KernelExports["f32_add"];

/** tfjs' kernel name, the loops for two float32 or int32 tensors, and whether the result is bool. */
interface Row {
  readonly kernel: string;
  readonly float?: (exports: KernelExports) => Loop;
  readonly int?: (exports: KernelExports) => Loop;
  readonly isTest?: boolean;
}

const ROWS: readonly Row[] = [
  { kernel: "Add", float: (e) => e.f32_add, int: (e) => e.i32_add },
  { kernel: "FloorDiv", int: (e) => e.i32_floor_div },
  { kernel: "Maximum", float: (e) => e.f32_maximum, int: (e) => e.i32_maximum },
  { kernel: "Minimum", float: (e) => e.f32_minimum, int: (e) => e.i32_minimum },
  { kernel: "Multiply", float: (e) => e.f32_mul, int: (e) => e.i32_mul },
  { kernel: "RealDiv", float: (e) => e.f32_div },
  {
    kernel: "SquaredDifference",
    float: (e) => e.f32_squared_difference,
    int: (e) => e.i32_squared_difference,
  },
  { kernel: "Sub", float: (e) => e.f32_sub, int: (e) => e.i32_sub },
  { kernel: "Equal", float: (e) => e.f32_equal, int: (e) => e.i32_equal, isTest: true },
  { kernel: "Greater", float: (e) => e.f32_greater, int: (e) => e.i32_greater, isTest: true },
  {
    kernel: "GreaterEqual",
    float: (e) => e.f32_greater_equal,
    int: (e) => e.i32_greater_equal,
    isTest: true,
  },
  { kernel: "Less", float: (e) => e.f32_less, int: (e) => e.i32_less, isTest: true },
  {
    kernel: "LessEqual",
    float: (e) => e.f32_less_equal,
    int: (e) => e.i32_less_equal,
    isTest: true,
  },
  { kernel: "NotEqual", float: (e) => e.f32_not_equal, int: (e) => e.i32_not_equal, isTest: true },
];

/** The rows of the kernel table. */
export const binaryKernels: KernelRows = {
  ...Object.fromEntries(ROWS.map((row) => [row.kernel, binary(row)])),
  LogicalAnd: logical((e) => e.u8_and),
  LogicalOr: logical((e) => e.u8_or),
  LogicalXor: logical((e) => e.u8_xor),
  Pow: pow,
  Prelu: (context, { x, alpha }) =>
    x.dtype === "float32" && alpha.dtype === "float32"
      ? elementwise(context, context.exports.f32_prelu, x, alpha, "float32")
      : undefined,
  Select: select,
};

function binary({ float, int, isTest = false }: Row): Kernel {
  return (context, { a, b }) => {
    if (a.dtype !== b.dtype) return undefined;
    const loop = a.dtype === "float32" ? float : a.dtype === "int32" ? int : undefined;
    if (loop === undefined) return undefined;
    return elementwise(context, loop(context.exports), a, b, isTest ? "bool" : a.dtype);
  };
}

/** Of two tensors of one shape; broadcasting is left to tfjs. */
function logical(loop: (exports: KernelExports) => KernelExports["u8_and"]): Kernel {
  return (context, { a, b }) => {
    if (a.dtype !== "bool" || b.dtype !== "bool") return undefined;
    if (!tf.util.arraysEqual(a.shape, b.shape)) return undefined;
    const y = context.output(a.shape, "bool");
    const [pA, pB, pY] = [a, b, y].map((x) => context.address(x));
    loop(context.exports)(tf.util.sizeFromShape(a.shape), pA, pB, pY);
    return y;
  };
}

function pow(context: KernelContext, { a, b }: Parameters<Kernel>[1]): ReturnType<Kernel> {
  if (a.dtype !== "float32" || b.dtype !== "float32") return undefined;
  const { exports, backend } = context;
  const exponent = b.shape.length === 0
    ? new Float32Array(backend.wasm.HEAPU8.buffer, context.address(b), 1)[0]
    : NaN;
  const loop = powers(exports).get(exponent);
  if (loop === undefined) return elementwise(context, exports.f32_pow, a, b, "float32");
  const y = context.output(a.shape, "float32");
  loop(tf.util.sizeFromShape(a.shape), context.address(a), context.address(y), 0);
  return y;
}

/** Exponents that have a loop of their own; 1.5 is in tfjs' gradient of rsqrt. */
function powers(exports: KernelExports): Map<number, KernelExports["f32_square"]> {
  return new Map([
    [1.5, exports.f32_power_3_2],
    [2, exports.f32_square],
    [3, exports.f32_cube],
  ]);
}

/** f(a, b) with broadcasting. */
function elementwise(
  context: KernelContext,
  loop: Loop,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  dtype: tf.DataType,
): tf.TensorInfo {
  const shape = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const out = context.output(shape, dtype);
  if (tf.util.sizeFromShape(shape) === 0) return out;
  const [pA, pB, pOut] = [context.address(a), context.address(b), context.address(out)];
  const { sizes, strides: [sA, sB] } = mergeAxes(a.shape, b.shape, shape);
  const columns = sizes.pop() ?? 1;
  const [cA, cB] = [sA.pop() ?? 1, sB.pop() ?? 1];
  const rows = sizes.pop() ?? 1;
  const [rA, rB] = [sA.pop() ?? 0, sB.pop() ?? 0];
  const bytes = tf.util.bytesPerElement(dtype) * rows * columns;
  if (sizes.length === 0 && columns < SHORT && rows >= SHORT && cA === 1 && cB === 1) {
    const at = { a: [pA, rA], b: [pB, rB] } as const;
    shortRows(context, loop, rows, columns, at, pOut, bytes / rows);
    return out;
  }
  let to = pOut;
  forEachOffset(sizes, [sA, sB], ([atA, atB]) => {
    loop(rows, columns, pA + 4 * atA, rA, cA, pB + 4 * atB, rB, cB, to);
    to += bytes;
  });
  return out;
}

/** Rows below this many elements are not called one by one. */
const SHORT = 32;
/** About how many elements then make a row. */
const LONG = 512;

/**
 * Of many short rows and a row that repeats: the same loop of fewer and longer rows, on copies of the
 * one that repeats.
 */
function shortRows(
  context: KernelContext,
  loop: Loop,
  rows: number,
  columns: number,
  { a: [pA, rA], b: [pB, rB] }: Readonly<Record<"a" | "b", readonly [number, number]>>,
  to: number,
  rowBytes: number,
): void {
  const times = Math.min(rows, Math.floor(LONG / columns));
  const whole = Math.floor(rows / times);
  const [long, bytes] = [times * columns, 4 * columns];
  const list = context.list([]);
  const row = context.scratch(times * bytes);
  context.exports.copy_runs(0, list, 1, bytes, times, 0, bytes, rA === 0 ? pA : pB, row);
  const [a, b] = [rA === 0 ? row : pA, rB === 0 ? row : pB];
  const [stepA, stepB] = [rA === 0 ? 0 : long, rB === 0 ? 0 : long];
  loop(whole, long, a, stepA, 1, b, stepB, 1, to);
  const done = whole * times;
  loop(
    rows - done,
    columns,
    ...[rA === 0 ? row : pA + done * bytes, rA, 1] as const,
    ...[rB === 0 ? row : pB + done * bytes, rB, 1] as const,
    to + done * rowBytes,
  );
}

/** Sizes and both strides of the axes of `out`, without axes of size 1, like neighbours merged. */
function mergeAxes(
  a: readonly number[],
  b: readonly number[],
  out: readonly number[],
): { sizes: number[]; strides: [number[], number[]] } {
  const [allA, allB] = [broadcastStrides(a, out), broadcastStrides(b, out)];
  const sizes: number[] = [];
  const strides: [number[], number[]] = [[], []];
  out.forEach((size, axis) => {
    if (size === 1) return;
    const last = sizes.length - 1;
    const alike = last >= 0 &&
      [allA, allB].every((all, t) => (all[axis] === 0) === (strides[t][last] === 0));
    if (alike) {
      sizes[last] *= size;
      strides[0][last] = allA[axis];
      strides[1][last] = allB[axis];
    } else {
      sizes.push(size);
      strides[0].push(allA[axis]);
      strides[1].push(allB[axis]);
    }
  });
  return { sizes, strides };
}

function select(
  context: KernelContext,
  { condition, t, e }: Parameters<Kernel>[1],
): ReturnType<Kernel> {
  if (![t, e].every(isPlain) || t.dtype !== e.dtype) return undefined;
  const size = tf.util.sizeFromShape(t.shape);
  if ([condition, t, e].some(({ shape }) => shape.includes(0))) {
    // tf.where leaves sizes of 1 where 0 is meant.
    const shape = [condition, e].reduce(
      (shape, x) => tf.broadcast_util.assertAndGetBroadcastShape(shape, x.shape),
      t.shape,
    );
    return context.output(shape, t.dtype);
  }
  if (![condition, e].every(({ shape }) => tf.util.arraysEqual(shape, t.shape))) return undefined;
  const y = context.output(t.shape, t.dtype);
  const [c, a, b, to] = [condition, t, e, y].map((x) => context.address(x));
  const { b32_select, u8_and, u8_xor } = context.exports;
  if (t.dtype !== "bool") {
    b32_select(size, c, a, b, to);
  } else {
    // ((t xor e) and condition) xor e
    u8_xor(size, a, b, to);
    u8_and(size, to, c, to);
    u8_xor(size, to, b, to);
  }
  return y;
}
