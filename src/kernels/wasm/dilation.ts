/**
 * Grey-scale dilation and its gradients, on as/dilation.ts. tfjs' own kernel answers zero
 * where the maximum is negative.
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Attributes, Inputs, Kernel, KernelRows } from "./kernel.ts";

/** The rows of the kernel table. */
export const dilationKernels: KernelRows = {
  Dilation2D: (context, { x, filter }, attributes) => {
    const window = windowOf(x, filter, attributes);
    if (window === undefined) return undefined;
    const y = context.output(window.outShape, "float32");
    if (y.shape.includes(0)) return y;
    const [from, taps, to] = [x, filter, y].map((tensor) => context.address(tensor));
    context.exports.f32_dilation(x.shape[0], context.list(window.list), from, taps, to);
    return y;
  },
  Dilation2DBackpropFilter: (context, inputs, attributes) =>
    gradient(context, inputs, attributes, inputs.filter, (batch, list, x, filter, dy, to) => {
      const scratch = context.scratch(4 * tf.util.sizeFromShape(inputs.filter.shape));
      context.exports.f32_dilation_filter(batch, list, x, filter, dy, to, scratch);
    }),
  Dilation2DBackpropInput: (context, inputs, attributes) =>
    gradient(
      context,
      inputs,
      attributes,
      inputs.x,
      (batch, list, x, filter, dy, to) =>
        context.exports.f32_dilation_input(batch, list, x, filter, dy, to),
    ),
};

/** The gradient of the input `like`. */
function gradient(
  context: KernelContext,
  { x, filter, dy }: Inputs,
  attributes: Attributes,
  like: tf.TensorInfo,
  run: (batch: number, list: number, x: number, w: number, dy: number, to: number) => void,
): ReturnType<Kernel> {
  const window = windowOf(x, filter, attributes);
  if (window === undefined) return undefined;
  const result = context.output(like.shape, "float32");
  const to = context.address(result);
  context.exports.b32_fill(tf.util.sizeFromShape(like.shape), to, 0);
  if (x.shape.includes(0) || dy.shape.includes(0)) return result;
  const [from, taps, slope] = [x, filter, dy].map((tensor) => context.address(tensor));
  run(x.shape[0], context.list(window.list), from, taps, slope, to);
  return result;
}

/** The list of as/dilation.ts, and the output's shape; undefined for what is not float32. */
function windowOf(
  x: tf.TensorInfo,
  filter: tf.TensorInfo,
  { strides, pad, dilations }: Attributes,
): { list: number[]; outShape: number[] } | undefined {
  if (x.dtype !== "float32" || filter.dtype !== "float32") return undefined;
  const info = tf.backend_util.computeDilation2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number],
    strides as number,
    pad as "same",
    "NHWC",
    dilations as number,
  );
  const list = [
    ...[info.outHeight, info.outWidth, info.strideHeight, info.strideWidth],
    ...[info.padInfo.top, info.padInfo.left, info.inHeight, info.inWidth],
    ...[info.filterHeight, info.filterWidth, info.dilationHeight, info.dilationWidth],
    info.inChannels,
  ];
  return { list, outShape: info.outShape };
}
