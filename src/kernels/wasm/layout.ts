/**
 * More kernels that only move elements, on as/copy.ts: every one is a box copied with strides, zero
 * where elements repeat and negative where they run backwards, or a transpose between reshapes.
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import { concat, copyBox, dot, isPlain, pad, slice, transpose } from "./copy.ts";
import type { Kernel, KernelRows } from "./kernel.ts";
import { stridesOf } from "./strides.ts";

/** The rows of the kernel table. */
export const layoutKernels: KernelRows = {
  BatchToSpaceND: batchToSpace,
  DepthToSpace: depthToSpace,
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
  SpaceToBatchND: spaceToBatch,
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

/** The transpose of `x` seen in the shape `from`, seen in the shape `to`. */
function permuted(
  context: KernelContext,
  x: tf.TensorInfo,
  from: number[],
  perm: number[],
  to: number[],
): tf.TensorInfo {
  return { ...transpose(context, { ...x, shape: from }, perm), shape: to };
}

function depthToSpace(
  context: KernelContext,
  { x }: Parameters<Kernel>[1],
  { blockSize, dataFormat }: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  if (!isPlain(x)) return undefined;
  const block = blockSize as number;
  if (dataFormat === "NCHW") {
    const [n, c, h, w] = x.shape;
    const depth = c / block ** 2;
    return permuted(
      context,
      x,
      [n, block, block, depth, h, w],
      [0, 3, 4, 1, 5, 2],
      [n, depth, h * block, w * block],
    );
  }
  const [n, h, w, c] = x.shape;
  const depth = c / block ** 2;
  return permuted(
    context,
    x,
    [n, h, w, block, block, depth],
    [0, 1, 3, 2, 4, 5],
    [n, h * block, w * block, depth],
  );
}

function spaceToBatch(
  context: KernelContext,
  { x }: Parameters<Kernel>[1],
  attributes: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  const blockShape = attributes.blockShape as number[];
  const rest = x.shape.slice(1 + blockShape.length).map((): [number, number] => [0, 0]);
  const paddings = [[0, 0], ...attributes.paddings as [number, number][], ...rest];
  const padded = pad(context, { x }, { paddings, constantValue: 0 }) as tf.TensorInfo | undefined;
  if (padded === undefined) return undefined;
  const { getReshaped, getPermuted, getReshapedPermuted } = tf.backend_util;
  const product = tf.util.sizeFromShape(blockShape);
  const from = getReshaped(padded.shape, blockShape, product, false);
  const y = permuted(
    context,
    padded,
    from,
    getPermuted(from.length, blockShape.length, false),
    getReshapedPermuted(padded.shape, blockShape, product, false),
  );
  context.backend.disposeData(padded.dataId);
  return y;
}

function batchToSpace(
  context: KernelContext,
  { x }: Parameters<Kernel>[1],
  attributes: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  if (!isPlain(x)) return undefined;
  const { blockShape, crops } = attributes as { blockShape: number[]; crops: number[][] };
  const { getReshaped, getPermuted, getReshapedPermuted, getSliceBeginCoords, getSliceSize } =
    tf.backend_util;
  const product = tf.util.sizeFromShape(blockShape);
  const from = getReshaped(x.shape, blockShape, product);
  const to = getReshapedPermuted(x.shape, blockShape, product);
  const whole = permuted(context, x, from, getPermuted(from.length, blockShape.length), to);
  const [start, size] = tf.slice_util.parseSliceParams(
    whole as tf.Tensor,
    getSliceBeginCoords(crops, blockShape.length),
    getSliceSize(to, crops, blockShape.length),
  );
  const y = slice(context, whole, start, size);
  context.backend.disposeData(whole.dataId);
  return y;
}
