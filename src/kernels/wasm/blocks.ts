/** Blocks of pixels moved into the batch or the channels and back: reshape, transpose, reshape. */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import { pad, slice, transpose } from "./copy.ts";
import type { Attributes, Inputs, Kernel, KernelRows } from "./kernel.ts";

const { getPermuted, getReshaped, getReshapedPermuted } = tf.backend_util;

/** The rows of the kernel table. */
export const blockKernels: KernelRows = {
  BatchToSpaceND: batchToSpace,
  DepthToSpace: depthToSpace,
  SpaceToBatchND: spaceToBatch,
};

function isNumeric({ dtype }: tf.TensorInfo): boolean {
  return dtype === "float32" || dtype === "int32";
}

/** The tensor of shape `from`, with its axes permuted, as one of shape `to`. */
function rearranged(
  context: KernelContext,
  x: tf.TensorInfo,
  from: number[],
  perm: readonly number[],
  to: number[],
): tf.TensorInfo {
  return { ...transpose(context, { ...x, shape: from }, perm), shape: to };
}

function batchToSpace(context: KernelContext, { x }: Inputs, attributes: Attributes) {
  const { blockShape, crops } = attributes as { blockShape: number[]; crops: number[][] };
  if (!isNumeric(x)) return undefined;
  const size = tf.util.sizeFromShape(blockShape);
  const from = getReshaped(x.shape, blockShape, size);
  const to = getReshapedPermuted(x.shape, blockShape, size);
  const whole = rearranged(context, x, from, getPermuted(from.length, blockShape.length), to);
  const cropped = (axis: number, side: number): number => crops[axis - 1]?.[side] ?? 0;
  const part = slice(
    context,
    whole,
    to.map((_, axis) => cropped(axis, 0)),
    to.map((length, axis) => length - cropped(axis, 0) - cropped(axis, 1)),
  );
  context.backend.disposeData(whole.dataId);
  return part;
}

function spaceToBatch(context: KernelContext, { x }: Inputs, attributes: Attributes) {
  const { blockShape, paddings } = attributes as {
    blockShape: number[];
    paddings: [number, number][];
  };
  if (!isNumeric(x)) return undefined;
  const size = tf.util.sizeFromShape(blockShape);
  const all = x.shape.map((_, axis): [number, number] => paddings[axis - 1] ?? [0, 0]);
  const padded = pad(context, x, all, 0);
  const from = getReshaped(padded.shape, blockShape, size, false);
  const perm = getPermuted(from.length, blockShape.length, false);
  const to = getReshapedPermuted(padded.shape, blockShape, size, false);
  const result = rearranged(context, padded, from, perm, to);
  context.backend.disposeData(padded.dataId);
  return result;
}

function depthToSpace(
  context: KernelContext,
  { x }: Inputs,
  attributes: Attributes,
): ReturnType<Kernel> {
  const { blockSize: block, dataFormat } = attributes as { blockSize: number; dataFormat: string };
  if (!isNumeric(x)) return undefined;
  if (dataFormat === "NHWC") {
    const [n, h, w, c] = x.shape;
    const depth = c / block ** 2;
    const from = [n, h, w, block, block, depth];
    return rearranged(context, x, from, [0, 1, 3, 2, 4, 5], [n, h * block, w * block, depth]);
  }
  const [n, c, h, w] = x.shape;
  const depth = c / block ** 2;
  const from = [n, block, block, depth, h, w];
  return rearranged(context, x, from, [0, 3, 4, 1, 5, 2], [n, depth, h * block, w * block]);
}
