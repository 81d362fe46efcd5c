/**
 * Maximum and average pooling in two and three dimensions and their gradients, on as/pool.ts.
 *
 * As in tfjs, NaN is never a maximum, an average is over the inputs inside of the image, and its
 * gradient is divided by the whole window (src/tensor/gradients.ts makes up for that).
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import { float32Bits } from "./gemm.ts";
import type { Attributes, Inputs, Kernel, KernelRows } from "./kernel.ts";
import { poolingWindow, volume, type Window, withOutput } from "./window.ts";

/** The rows of the kernel table. */
export const poolKernels: KernelRows = {
  AvgPool: mean,
  AvgPool3D: mean,
  AvgPool3DGrad: meanSlope,
  AvgPoolGrad: meanSlope,
  MaxPool: max,
  MaxPool3D: max,
  MaxPool3DGrad: maxSlope,
  MaxPoolGrad: maxSlope,
};

function max(context: KernelContext, { x }: Inputs, attributes: Attributes): ReturnType<Kernel> {
  return pool(
    context,
    x,
    attributes,
    (batch, list, from, to) => context.exports.f32_max_pool(batch, list, from, to),
  );
}

function mean(context: KernelContext, { x }: Inputs, attributes: Attributes): ReturnType<Kernel> {
  const { exports } = context;
  return pool(context, x, attributes, (batch, list, from, to, window) => {
    if (!isAlongLines(window)) return exports.f32_mean_pool(batch, list, from, to);
    const { in: [planes, rows, columns], filter, inChannels } = window;
    const [lines, scratch] = [batch * planes * rows, context.scratch(4 * columns * inChannels)];
    exports.f32_line_means(lines, columns, inChannels, filter[2], from, to, scratch);
  });
}

/** Whether windows are parts of one row, step by step and without padding. */
function isAlongLines({ filter, strides, pad, in: size, out }: Window): boolean {
  return filter[0] === 1 && filter[1] === 1 && strides.every((s) => s === 1) &&
    pad.every((p) => p === 0) && out[2] === size[2] - filter[2] + 1;
}

function pool(
  context: KernelContext,
  x: tf.TensorInfo,
  attributes: Attributes,
  run: (batch: number, list: number, x: number, y: number, window: Window) => void,
): ReturnType<Kernel> {
  const window = poolingWindow(x.shape, attributes);
  if (x.dtype !== "float32" || window.isChannelsFirst) return undefined;
  // Also where padding and stride would choose other inputs: so do all backends of tfjs.
  const isCopy = volume(window.filter) === 1 && tf.util.arraysEqual(x.shape, window.outShape);
  if (isCopy) return context.share(x, x.shape);
  const y = context.output(window.outShape, "float32");
  if (!y.shape.includes(0)) {
    const list = context.list(listOf(window));
    run(window.batch, list, context.address(x), context.address(y), window);
  }
  return y;
}

function maxSlope(context: KernelContext, { dy, input }: Inputs, attributes: Attributes) {
  return slope(
    context,
    dy,
    input,
    attributes,
    (batch, list, to) =>
      context.exports.f32_max_pool_grad(
        batch,
        list,
        context.address(input),
        context.address(dy),
        to,
      ),
  );
}

function meanSlope(context: KernelContext, { dy, input }: Inputs, attributes: Attributes) {
  return slope(context, dy, input, attributes, (batch, list, to, window) => {
    const { exports } = context;
    exports.f32_sum_pool_grad(batch, list, context.address(dy), to);
    const size = tf.util.sizeFromShape(input.shape);
    const factor = context.list([float32Bits(1 / volume(window.filter))]);
    exports.f32_mul(1, size, to, size, 1, factor, 0, 0, to);
  });
}

function slope(
  context: KernelContext,
  dy: tf.TensorInfo,
  input: tf.TensorInfo,
  attributes: Attributes,
  run: (batch: number, list: number, dx: number, window: Window) => void,
): ReturnType<Kernel> {
  const window = withOutput(poolingWindow(input.shape, attributes), dy.shape);
  if (input.dtype !== "float32" || dy.dtype !== "float32" || window.isChannelsFirst) {
    return undefined;
  }
  const dx = context.output(input.shape, "float32");
  const to = context.address(dx);
  context.exports.b32_fill(tf.util.sizeFromShape(dx.shape), to, 0);
  if (!dx.shape.includes(0) && !dy.shape.includes(0)) {
    run(window.batch, context.list(listOf(window)), to, window);
  }
  return dx;
}

/** The list of as/pool.ts. */
function listOf({ out, strides, pad, in: size, filter, inChannels }: Window): number[] {
  return [...out, ...strides, ...pad, ...size, ...filter, inChannels];
}
