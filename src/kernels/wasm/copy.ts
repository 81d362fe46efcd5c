/**
 * Kernels that move elements without changing them, on as/copy.ts: transpose, slice, concat, split,
 * pad, and those that move nothing (identity, reshape, cast to the same dtype).
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Kernel, KernelRows } from "./kernel.ts";
import { stridesOf } from "./strides.ts";

/** The rows of the kernel table. */
export const copyKernels: KernelRows = {
  Cast: (context, { x }, { dtype }) => {
    if (!isPlain(x)) return undefined;
    if (x.dtype === dtype) return context.share(x, x.shape);
    return dtype === "bool" ? isNotZero(context, x) : undefined;
  },
  Concat: (context, inputs, { axis }) => concat(context, Object.values(inputs), axis as number),
  Identity: (context, { x }) => context.share(x, x.shape),
  PadV2: (context, { x }, attributes) => {
    const value = attributes.constantValue as number;
    if (x.dtype !== "float32" && x.dtype !== "int32") return undefined;
    const bits = x.dtype === "int32" ? value : new Int32Array(Float32Array.of(value).buffer)[0];
    return pad(context, x, attributes.paddings as [number, number][], bits);
  },
  Slice: (context, { x }, { begin, size }) => {
    if (!isPlain(x)) return undefined;
    const [start, shape] = tf.slice_util.parseSliceParams(
      x as tf.Tensor,
      begin as number[],
      size as number[],
    );
    tf.slice_util.assertParamsValid(x as tf.Tensor, start, shape);
    return slice(context, x, start, shape);
  },
  SplitV: split,
  Transpose: (context, { x }, { perm }) =>
    isPlain(x) ? transpose(context, x, perm as number[]) : undefined,
};

/** Whether the tensor lies in the heap as one array: all but strings and complex numbers. */
export function isPlain({ dtype }: tf.TensorInfo): boolean {
  return dtype === "float32" || dtype === "int32" || dtype === "bool";
}

/** 1 where `x`, float32 or int32, is not zero (NaN is not). */
function isNotZero(context: KernelContext, x: tf.TensorInfo): tf.TensorInfo {
  const y = context.output(x.shape, "bool");
  const { f32_not_equal, i32_not_equal } = context.exports;
  const loop = x.dtype === "float32" ? f32_not_equal : i32_not_equal;
  const size = tf.util.sizeFromShape(x.shape);
  loop(1, size, context.address(x), 0, 1, context.list([0]), 0, 0, context.address(y));
  return y;
}

/**
 * Copies a box of `shape` from one tensor's elements to another's: offsets and strides in elements.
 * Inner axes that are contiguous on both sides are one run.
 */
export function copyBox(
  context: KernelContext,
  shape: readonly number[],
  [from, fromOffset, fromStrides]: readonly [tf.TensorInfo, number, readonly number[]],
  [to, toOffset, toStrides]: readonly [tf.TensorInfo, number, readonly number[]],
): void {
  if (shape.includes(0)) return;
  // Sizes and strides of axes that are one on both sides
  const axes: [size: number, from: number, to: number][] = [];
  shape.forEach((size, axis) => {
    if (size === 1) return;
    const [stepFrom, stepTo] = [fromStrides[axis], toStrides[axis]];
    const last = axes.at(-1);
    if (last !== undefined && last[1] === size * stepFrom && last[2] === size * stepTo) {
      axes[axes.length - 1] = [last[0] * size, stepFrom, stepTo];
    } else {
      axes.push([size, stepFrom, stepTo]);
    }
  });
  const isRun = axes.at(-1)?.[1] === 1 && axes.at(-1)?.[2] === 1;
  const run = isRun ? axes.pop()![0] : 1;
  const inner = axes.pop() ?? [1, 0, 0];
  const list = [0, 1, 2].flatMap((item) => axes.map((axis) => axis[item]));
  const bytes = tf.util.bytesPerElement(from.dtype);
  context.exports.copy_runs(
    axes.length,
    context.list([...list, ...axes.keys()]),
    bytes,
    run * bytes,
    ...inner,
    context.address(from) + fromOffset * bytes,
    context.address(to) + toOffset * bytes,
  );
}

/** The sum of products: an offset from an index and strides. */
export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}

/** The box of `shape` that begins at `start`. */
export function slice(
  context: KernelContext,
  x: tf.TensorInfo,
  start: readonly number[],
  shape: number[],
): tf.TensorInfo {
  const y = context.output(shape, x.dtype);
  const strides = stridesOf(x.shape);
  copyBox(context, shape, [x, dot(start, strides), strides], [y, 0, stridesOf(shape)]);
  return y;
}

/** The tensors one after the other along `axis`. */
export function concat(
  context: KernelContext,
  all: tf.TensorInfo[],
  axis: number,
): ReturnType<Kernel> {
  if (!all.every((x) => isPlain(x) && x.dtype === all[0].dtype)) return undefined;
  const along = tf.util.parseAxisParam(axis, all[0].shape)[0];
  const shapes = all.map((x) => x.shape);
  tf.backend_util.assertParamsConsistent(shapes, along);
  const out = tf.backend_util.computeOutShape(shapes, along);
  const y = context.output(out, all[0].dtype);
  const strides = stridesOf(out);
  let offset = 0;
  for (const x of all) {
    copyBox(context, x.shape, [x, 0, stridesOf(x.shape)], [y, offset * strides[along], strides]);
    offset += x.shape[along];
  }
  return y;
}

function split(
  context: KernelContext,
  { x }: Parameters<Kernel>[1],
  { numOrSizeSplits, axis }: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  if (!isPlain(x)) return undefined;
  const along = tf.util.parseAxisParam(axis as number, x.shape)[0];
  const sizes = tf.backend_util.prepareSplitSize(
    x as tf.Tensor,
    numOrSizeSplits as number[] | number,
    along,
  );
  const start = x.shape.map(() => 0);
  return sizes.map((size) => {
    const part = slice(context, x, start, x.shape.with(along, size));
    start[along] += size;
    return part;
  });
}

/** Copies the tensor into one that is larger by the paddings, elsewhere of the number whose bits are given. */
export function pad(
  context: KernelContext,
  x: tf.TensorInfo,
  paddings: readonly (readonly [number, number])[],
  bits: number,
): tf.TensorInfo {
  const shape = x.shape.map((size, axis) => size + paddings[axis][0] + paddings[axis][1]);
  const y = context.output(shape, x.dtype);
  context.exports.b32_fill(tf.util.sizeFromShape(shape), context.address(y), bits);
  const strides = stridesOf(shape);
  const offset = dot(paddings.map(([before]) => before), strides);
  copyBox(context, x.shape, [x, 0, stridesOf(x.shape)], [y, offset, strides]);
  return y;
}

/** The tensor with axis perm[i] at place i; it may share its data. */
export function transpose(
  context: KernelContext,
  x: tf.TensorInfo,
  perm: readonly number[],
): tf.TensorInfo {
  const shape = perm.map((axis) => x.shape[axis]);
  const { sizes, strides } = mergeAxes(x.shape, perm);
  if (sizes.length < 2) return context.share(x, shape);
  const y = context.output(shape, x.dtype);
  if (shape.includes(0)) return y;
  const toStrides = stridesOf(sizes);
  const last = sizes.length - 1;
  if (strides[last] === 1 || x.dtype === "bool") {
    copyBox(context, sizes, [x, 0, strides], [y, 0, toStrides]);
    return y;
  }
  const row = strides.indexOf(1);
  const outer = [...sizes.keys()].filter((axis) => axis !== row && axis !== last);
  const list = [sizes, strides, toStrides].flatMap((all) => outer.map((axis) => all[axis]));
  context.exports.b32_transpose(
    outer.length,
    context.list([...list, ...outer]),
    sizes[row],
    sizes[last],
    strides[last],
    toStrides[row],
    context.address(x),
    context.address(y),
  );
  return y;
}

/**
 * The axes of the result: sizes, and strides in the source. Axes of size 1 are dropped, and axes
 * that stay neighbours are merged.
 */
function mergeAxes(
  shape: readonly number[],
  perm: readonly number[],
): { sizes: number[]; strides: number[] } {
  const all = stridesOf(shape);
  const sizes: number[] = [];
  const strides: number[] = [];
  for (const axis of perm) {
    const [size, stride] = [shape[axis], all[axis]];
    const last = sizes.length - 1;
    if (size === 1) continue;
    if (last >= 0 && strides[last] === size * stride) {
      sizes[last] *= size;
      strides[last] = stride;
    } else {
      sizes.push(size);
      strides.push(stride);
    }
  }
  return { sizes, strides };
}
