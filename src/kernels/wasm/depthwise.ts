/**
 * Depthwise convolutions and their gradients, on as/depthwise.ts. With several filters a channel, the
 * channels of the image are repeated first: the filter is then one of all output channels.
 */
import * as tf from "../../tensor/tf.ts";
import { channelsLastShape, onChannelsLast } from "./channels.ts";
import type { KernelContext } from "./context.ts";
import { copyBox } from "./copy.ts";
import { epilogueOf, finish } from "./epilogue.ts";
import type { Epilogue } from "./gemm.ts";
import type { Attributes, Inputs, KernelRows } from "./kernel.ts";
import { type Phase, phasesOf } from "./phases.ts";
import { stridesOf } from "./strides.ts";
import { convolutionWindow, type Window, withOutput } from "./window.ts";

/** The rows of the kernel table. */
export const depthwiseKernels: KernelRows = {
  DepthwiseConv2dNative: (context, inputs, attributes) => forward(context, inputs, attributes, {}),
  DepthwiseConv2dNativeBackpropFilter: filterGradient,
  DepthwiseConv2dNativeBackpropInput: inputGradient,
  FusedDepthwiseConv2D: (context, inputs, attributes) => {
    const epilogue = epilogueOf(inputs, attributes);
    return epilogue && forward(context, inputs, attributes, epilogue);
  },
};

function forward(
  context: KernelContext,
  { x, filter }: Inputs,
  attributes: Attributes,
  epilogue: Epilogue,
): tf.TensorInfo {
  const window = convolutionWindow(x.shape, filter.shape, attributes, true);
  return onChannelsLast(context, window, x, epilogue, (image, after) => {
    const y = context.output(channelsLastShape(window), "float32");
    const wide = repeated(context, image, filter.shape[3]);
    const [batch, , , channels] = y.shape;
    const { in: size, out, filter: taps, strides, dilations, pad } = window;
    const list = listOf(
      { in: size, out, taps, strides, dilations, pad, channels },
      stridesOf(y.shape),
    );
    if (!y.shape.includes(0)) {
      const at = [wide, filter, y].map((tensor) => context.address(tensor));
      context.exports.f32_depthwise(batch, context.list(list), at[0], at[1], at[2]);
    }
    context.backend.disposeData(wide.dataId);
    finish(context, y, after);
    return y;
  });
}

/** The sizes of a depthwise convolution of `channels` channels. */
type Sizes = Pick<Window, "in" | "out" | "strides" | "dilations" | "pad"> & {
  readonly taps: Window["filter"];
  readonly channels: number;
};

/** The list of as/depthwise.ts, with the strides of the output's images, rows and columns. */
function listOf(
  { in: size, out, taps, strides, dilations, pad, channels }: Sizes,
  outStrides: readonly number[],
): number[] {
  const last = [out, strides, pad, size, taps, dilations].flatMap(([, h, w]) => [h, w]);
  return [...last, channels, ...outStrides.slice(0, 3)];
}

/** Each channel of [n, h, w, c] `count` times. */
function repeated(context: KernelContext, x: tf.TensorInfo, count: number): tf.TensorInfo {
  if (count === 1) return context.share(x, x.shape);
  const y = context.output([...x.shape.slice(0, 3), x.shape[3] * count], "float32");
  const size = tf.util.sizeFromShape(x.shape);
  context.exports.f32_repeat(size, count, context.address(x), context.address(y));
  return y;
}

/** dW[tap, c, m] = sum over positions of x[position * stride + tap * dilation - pad, c] dy[position, c, m]. */
function filterGradient(
  context: KernelContext,
  { x, dy }: Inputs,
  attributes: Attributes,
): tf.TensorInfo {
  const shape = attributes.filterShape as number[];
  const window = withOutput(convolutionWindow(x.shape, shape, attributes, true), dy.shape);
  const dw = context.output(shape, "float32");
  const size = tf.util.sizeFromShape(shape);
  if (x.shape.includes(0) || dy.shape.includes(0)) {
    context.exports.b32_fill(size, context.address(dw), 0);
    return dw;
  }
  const wide = repeated(context, x, shape[3]);
  const list = listOf({ ...window, taps: window.filter, channels: dy.shape[3] }, [0, 0, 0, 0]);
  context.exports.f32_depthwise_filter(
    window.batch,
    context.list(list),
    ...[context.address(wide), context.address(dy), context.address(dw)] as const,
    context.scratch(4 * size),
  );
  context.backend.disposeData(wide.dataId);
  return dw;
}

/** The gradient of the input, as in conv.ts: the inputs of equal remainder by the stride at a time. */
function inputGradient(
  context: KernelContext,
  { dy, filter }: Inputs,
  attributes: Attributes,
): tf.TensorInfo {
  const shape = attributes.inputShape as number[];
  const window = withOutput(convolutionWindow(shape, filter.shape, attributes, true), dy.shape);
  const [batch, , , channels] = dy.shape;
  const wide = context.output([...shape.slice(0, 3), channels], "float32");
  const size = tf.util.sizeFromShape(wide.shape);
  const phases = [1, 2].map((axis) => phasesOf(window, axis));
  const isNothing = filter.shape.includes(0) || dy.shape.includes(0) || size === 0;
  const isCovered = phases.every((list) => list.every(({ taps }) => taps > 0));
  if (isNothing || !isCovered) context.exports.b32_fill(size, context.address(wide), 0);
  const [yImage, yRow, yColumn] = stridesOf(wide.shape);
  for (const h of isNothing ? [] : phases[0]) {
    for (const w of phases[1]) {
      if (h.taps * h.count * w.taps * w.count === 0) continue;
      const flipped = flippedTaps(context, filter, h, w);
      const list = listOf({
        in: window.out,
        out: [1, h.count, w.count],
        taps: [1, h.taps, w.taps],
        strides: [1, 1, 1],
        dilations: [1, h.dilation, w.dilation],
        pad: [0, h.pad, w.pad],
        channels,
      }, [yImage, yRow * window.strides[1], yColumn * window.strides[2]]);
      context.exports.f32_depthwise(
        batch,
        context.list(list),
        ...[context.address(dy), context.address(flipped)] as const,
        context.address(wide) + 4 * (h.first * yRow + w.first * yColumn),
      );
      context.backend.disposeData(flipped.dataId);
    }
  }
  if (filter.shape[3] === 1) return wide;
  const dx = context.output(shape, "float32");
  context.exports.f32_sum_groups(
    ...[tf.util.sizeFromShape(shape), filter.shape[3]] as const,
    ...[context.address(wide), context.address(dx)] as const,
  );
  context.backend.disposeData(wide.dataId);
  return dx;
}

/** The taps of a phase in reverse. */
function flippedTaps(
  context: KernelContext,
  filter: tf.TensorInfo,
  h: Phase,
  w: Phase,
): tf.TensorInfo {
  const channels = filter.shape[2] * filter.shape[3];
  const result = context.output([h.taps, w.taps, channels], "float32");
  const [row, column] = [filter.shape[1] * channels, channels];
  const offset = (h.firstTap + (h.taps - 1) * h.tapStep) * row +
    (w.firstTap + (w.taps - 1) * w.tapStep) * column;
  const strides = [-h.tapStep * row, -w.tapStep * column, 1];
  copyBox(context, result.shape, [filter, offset, strides], [result, 0, stridesOf(result.shape)]);
  return result;
}
