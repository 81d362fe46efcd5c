/**
 * Reductions over any axes, on as/reduce.ts for float32 and as/reduce_i32.ts for int32.
 *
 * Neighbouring axes that are both reduced or both kept are one axis; then one reduced axis after the
 * other, the innermost first, is folded: rows where nothing is behind it, else columns.
 */
import * as tf from "../../tensor/tf.ts";
import { callKernel } from "./call.ts";
import type { KernelContext } from "./context.ts";
import type { Kernel, KernelRows } from "./kernel.ts";

interface Reduction {
  /** The attribute that names the axes. */
  readonly axes: string;
  /** The result where nothing is reduced: a reduced axis of size 0. */
  readonly empty: number;
  /** Rows of `columns` contiguous floats, each to one; the result is divided by `divisor`. */
  rows(
    context: KernelContext,
    rows: number,
    columns: number,
    x: number,
    y: number,
    divisor: number,
  ): void;
  /** `outer` blocks of `rows` rows, each to one row. */
  columns(
    context: KernelContext,
    outer: number,
    rows: number,
    columns: number,
    x: number,
    y: number,
    divisor: number,
  ): void;
}

const sum: Reduction = {
  axes: "axis",
  empty: 0,
  rows: ({ exports }, ...rest) => exports.f32_sum_rows(...rest),
  columns: (context, ...rest) =>
    context.exports.f32_sum_columns(
      ...rest,
      context.scratch(context.exports.f32_sum_columns_scratch()),
    ),
};

const prod: Reduction = {
  axes: "axis",
  empty: 1,
  rows: ({ exports }, rows, columns, x, y) => exports.f32_prod_rows(rows, columns, x, y),
  columns: ({ exports }, outer, rows, columns, x, y) =>
    exports.f32_prod_columns(outer, rows, columns, x, y),
};

const max: Reduction = {
  axes: "reductionIndices",
  empty: -Infinity,
  rows: ({ exports }, rows, columns, x, y) => exports.f32_max_rows(rows, columns, x, y),
  columns: ({ exports }, outer, rows, columns, x, y) =>
    exports.f32_max_columns(outer, rows, columns, x, y),
};

const min: Reduction = {
  axes: "axis",
  empty: Infinity,
  rows: ({ exports }, rows, columns, x, y) => exports.f32_min_rows(rows, columns, x, y),
  columns: ({ exports }, outer, rows, columns, x, y) =>
    exports.f32_min_columns(outer, rows, columns, x, y),
};

/** The same of integers; `name` is the middle of the functions' names. */
function ofIntegers(
  axes: string,
  empty: number,
  name: "sum" | "prod" | "max" | "min",
): Reduction {
  return {
    axes,
    empty,
    rows: ({ exports }, rows, columns, x, y) => exports[`i32_${name}_rows`](rows, columns, x, y),
    columns: ({ exports }, outer, rows, columns, x, y) =>
      exports[`i32_${name}_columns`](outer, rows, columns, x, y),
  };
}

const meanOfFloats = reduction({ ...sum, empty: NaN });

/** The rows of the kernel table. */
export const reduceKernels: KernelRows = {
  All: ofNothing("axis", 1),
  Any: ofNothing("axis", 0),
  Max: either(
    reduction(max, ofIntegers("reductionIndices", -(2 ** 31), "max")),
    ofNothing("reductionIndices", 0),
  ),
  Mean: mean,
  Min: either(reduction(min, ofIntegers("axis", 2 ** 31 - 1, "min")), ofNothing("axis", 1)),
  Prod: reduction(prod, ofIntegers("axis", 1, "prod")),
  Sum: reduction(sum, ofIntegers("axis", 0, "sum")),
};

/** The result of bool elements where nothing is reduced; the others are left to tfjs. */
function ofNothing(name: string, empty: number): Kernel {
  return (context, { x }, attributes) => {
    if (x.dtype !== "bool") return undefined;
    const { shape, count } = reduced(x, attributes[name] as number | number[], attributes.keepDims);
    if (count !== 0) return undefined;
    const out = context.output(shape, "bool");
    const { buffer } = context.backend.wasm.HEAPU8;
    new Uint8Array(buffer, context.address(out), tf.util.sizeFromShape(shape)).fill(empty);
    return out;
  };
}

/** The first kernel that takes the inputs. */
function either(first: Kernel, second: Kernel): Kernel {
  return (...call) => first(...call) ?? second(...call);
}

/** The mean in float32, of numbers and of bool. */
function mean(...[context, { x }, attributes]: Parameters<Kernel>): ReturnType<Kernel> {
  if (x.dtype !== "int32" && x.dtype !== "bool") return meanOfFloats(context, { x }, attributes);
  const floats = callKernel(context, "Cast", { x }, { dtype: "float32" });
  const result = meanOfFloats(context, { x: floats }, attributes);
  context.backend.disposeData(floats.dataId);
  return result;
}

/** The result's shape and how many elements become one. */
function reduced(
  x: tf.TensorInfo,
  axis: number | number[],
  keepDims: unknown,
): { axes: number[]; shape: number[]; count: number } {
  const axes = tf.util.parseAxisParam(axis, x.shape);
  const shape = x.shape.flatMap((size, at) => !axes.includes(at) ? [size] : keepDims ? [1] : []);
  return { axes, shape, count: axes.reduce((product, at) => product * x.shape[at], 1) };
}

/** A kernel; without a reduction of integers, a mean. */
function reduction(floats: Reduction, integers?: Reduction): Kernel {
  return (context, { x }, attributes) => {
    const { dtype } = x;
    const reduce = dtype === "float32" ? floats : dtype === "int32" ? integers : undefined;
    if (reduce === undefined) return undefined;
    const { axes, shape, count } = reduced(
      x,
      attributes[reduce.axes] as number | number[],
      attributes.keepDims,
    );
    const isReduced = (axis: number): boolean => axes.includes(axis);
    const out = context.output(shape, dtype);
    const size = tf.util.sizeFromShape(shape);
    if (size === 0) return out;
    if (count === 0) {
      const { buffer } = context.backend.wasm.HEAPU8;
      const View = dtype === "float32" ? Float32Array : Int32Array;
      new View(buffer as ArrayBuffer, context.address(out), size).fill(reduce.empty);
      return out;
    }
    fold(
      context,
      reduce,
      x,
      out,
      mergeAxes(x.shape, isReduced),
      integers === undefined ? count : 1,
    );
    return out;
  };
}

/** An axis of merged neighbours. */
interface Axis {
  size: number;
  readonly isReduced: boolean;
}

function mergeAxes(shape: readonly number[], isReduced: (axis: number) => boolean): Axis[] {
  const merged: Axis[] = [];
  shape.forEach((size, axis) => {
    if (size === 1) return;
    const last = merged.at(-1);
    if (last?.isReduced === isReduced(axis)) last.size *= size;
    else merged.push({ size, isReduced: isReduced(axis) });
  });
  return merged;
}

function fold(
  context: KernelContext,
  reduce: Reduction,
  x: tf.TensorInfo,
  out: tf.TensorInfo,
  axes: Axis[],
  divisor: number,
): void {
  const product = (list: readonly Axis[]): number => list.reduce((p, { size }) => p * size, 1);
  let from = x;
  // An axis of one element at least, so that a copy is made where nothing is to be reduced.
  if (!axes.some((axis) => axis.isReduced)) axes.push({ size: 1, isReduced: true });
  while (axes.some((axis) => axis.isReduced)) {
    const at = axes.findLastIndex((axis) => axis.isReduced);
    const { size } = axes[at];
    const [outer, inner] = [product(axes.slice(0, at)), product(axes.slice(at + 1))];
    axes.splice(at, 1);
    const isLast = !axes.some((axis) => axis.isReduced);
    const to = isLast ? out : context.output([outer * inner], x.dtype);
    const addresses = [context.address(from), context.address(to), isLast ? divisor : 1] as const;
    if (inner === 1) reduce.rows(context, outer, size, ...addresses);
    else reduce.columns(context, outer, size, inner, ...addresses);
    if (from !== x) context.backend.disposeData(from.dataId);
    from = to;
  }
}
