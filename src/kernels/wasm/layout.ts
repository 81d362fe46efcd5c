/**
 * More kernels that only move elements, on as/copy.ts: boxes copied with strides, zero where elements
 * repeat and negative where they run backwards.
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import { concat, copyBox, dot, isPlain, slice } from "./copy.ts";
import type { Kernel, KernelRows } from "./kernel.ts";
import { stridesOf } from "./strides.ts";

/** The rows of the kernel table. */
export const layoutKernels: KernelRows = {
  Pack: (context, inputs, { axis }) => {
    const all = Object.values(inputs);
    const along = axis as number < 0 ? axis as number + all[0].shape.length + 1 : axis as number;
    for (const x of all) {
      tf.util.assertShapesMatch(all[0].shape, x.shape, "stack takes tensors of one shape: ");
    }
    return concat(
      context,
      all.map((x) => ({ ...x, shape: x.shape.toSpliced(along, 0, 1) })),
      along,
    );
  },
  Reverse: (context, { x }, { dims }) => {
    if (!isPlain(x)) return undefined;
    const axes = tf.util.parseAxisParam(dims as number[], x.shape);
    const strides = stridesOf(x.shape);
    const start = x.shape.map((size, axis) => axes.includes(axis) ? size - 1 : 0);
    const steps = x.shape.map((_, axis) => axes.includes(axis) ? -1 : 1);
    return strided(context, x, start, steps, x.shape, strides);
  },
  StridedSlice: stridedSlice,
  Tile: tile,
  Unpack: (context, { value }, { axis }) => {
    if (!isPlain(value)) return undefined;
    const along = tf.util.parseAxisParam(axis as number, value.shape)[0];
    const size = value.shape.with(along, 1);
    return Array.from({ length: value.shape[along] }, (_, i) => {
      const start = value.shape.map((_, d) => d === along ? i : 0);
      return { ...slice(context, value, start, size), shape: value.shape.toSpliced(along, 1) };
    });
  },
};

/** y[i] = x[start + i steps], axis by axis. */
function strided(
  context: KernelContext,
  x: tf.TensorInfo,
  start: readonly number[],
  steps: readonly number[],
  shape: number[],
  strides: readonly number[],
): tf.TensorInfo {
  const y = context.output(shape, x.dtype);
  const from = strides.map((stride, axis) => stride * steps[axis]);
  copyBox(context, shape, [x, dot(start, strides), from], [y, 0, stridesOf(shape)]);
  return y;
}

function stridedSlice(
  context: KernelContext,
  { x }: Parameters<Kernel>[1],
  attributes: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  if (!isPlain(x)) return undefined;
  const a = attributes as Record<"begin" | "end" | "strides", number[]> & Record<string, number>;
  const info = tf.slice_util.sliceInfo(
    x.shape,
    ...[a.begin, a.end, a.strides, a.beginMask, a.endMask, a.ellipsisMask] as const,
    ...[a.newAxisMask, a.shrinkAxisMask] as const,
  );
  if (info.isIdentity) return context.share(x, info.finalShape);
  const { begin, end, strides, finalShape } = info;
  const count = begin.map((at, d) => Math.max(0, Math.ceil((end[d] - at) / strides[d])));
  const y = strided(context, x, begin, strides, count, stridesOf(x.shape));
  return { ...y, shape: finalShape };
}

function tile(
  context: KernelContext,
  { x }: Parameters<Kernel>[1],
  attributes: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  const reps = attributes.reps as number[];
  if (!isPlain(x) || reps.length !== x.shape.length) return undefined;
  const y = context.output(x.shape.map((size, axis) => size * reps[axis]), x.dtype);
  const strides = stridesOf(x.shape);
  const shape = x.shape.flatMap((size, axis) => [reps[axis], size]);
  copyBox(
    context,
    shape,
    [x, 0, strides.flatMap((stride) => [0, stride])],
    [y, 0, stridesOf(shape)],
  );
  return y;
}
