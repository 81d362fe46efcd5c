/**
 * Centred moving averages over time and their gradient, on as/moving_average.ts: see src/nn; and
 * average pooling along lines.
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Attributes, Kernel, KernelRows } from "./kernel.ts";
import type { KernelExports } from "./module.ts";

type Loop = KernelExports["f32_moving_average"];

/** The rows of the kernel table. */
export const movingAverageKernels: KernelRows = {
  AvgPool: (context, { x }, attributes) => lineMeans(context, x, attributes),
  DownhillMovingAverage: average(({ exports }) => exports.f32_moving_average),
  DownhillMovingAverageGrad: average(({ exports }) => exports.f32_moving_average_grad),
};

function average(loop: (context: KernelContext) => Loop): Kernel {
  return (context, { x }, { half }) => {
    const [batch, time, channels] = x.shape;
    const y = context.output(x.shape, "float32");
    if (x.shape.includes(0)) return y;
    const sizes = [batch, time, channels, half as number] as const;
    const bytes = context.exports.f32_moving_average_scratch(time, channels, half as number);
    const [from, to] = [context.address(x), context.address(y)];
    loop(context)(...sizes, from, to, context.scratch(bytes));
    return y;
  };
}

/** Average pooling of NHWC images by windows of one row, step by step and without padding. */
export function lineMeans(
  context: KernelContext,
  x: tf.TensorInfo,
  { filterSize, strides, pad, dimRoundingMode }: Attributes,
): tf.TensorInfo | undefined {
  if (x.dtype !== "float32") return undefined;
  const info = tf.backend_util.computePool2DInfo(
    x.shape as [number, number, number, number],
    filterSize as [number, number],
    strides as number,
    1,
    pad as "valid",
    dimRoundingMode as undefined,
  );
  const { filterHeight, filterWidth, strideHeight, strideWidth, padInfo } = info;
  const isLine = filterHeight === 1 && strideHeight === 1 && strideWidth === 1 &&
    Math.max(padInfo.top, padInfo.bottom, padInfo.left, padInfo.right) === 0;
  if (!isLine || info.outWidth <= 0 || x.shape.includes(0)) return undefined;
  const y = context.output(info.outShape, "float32");
  context.exports.f32_line_means(
    ...[info.batchSize * info.inHeight, info.inWidth, info.inChannels, filterWidth] as const,
    ...[context.address(x), context.address(y)] as const,
  );
  return y;
}
