/**
 * Convolutions with dilations that train.
 *
 * tfjs refuses the gradient of a depthwise convolution with dilations, which its tests ask for, so
 * the registry keeps to that and the operations here have gradients of their own. tfjs' fused
 * operation without an activation has a gradient of its own, which refuses dilations.
 */
import * as core from "@tensorflow/tfjs-core";
import { trainable } from "./convolution_gradients.ts";

type Fused = typeof core.fused;
type Arguments = Parameters<Fused["conv2d"]>[0];

/** tfjs' fused operations, where dilations have a gradient too. */
export const fused: Fused = {
  ...core.fused,
  conv2d: <T extends core.Tensor>(args: Arguments): T =>
    (isComposed(args) ? composed(core.conv2d, args) : (core.fused.conv2d as Plain)(args)) as T,
  depthwiseConv2d: <T extends core.Tensor>(args: Arguments): T =>
    (isComposed(args)
      ? composed(depthwiseConv2d, args)
      : (core.fused.depthwiseConv2d as Plain)(args)) as T,
};

type Plain = (args: Arguments) => core.Tensor;

/** `tf.depthwiseConv2d`, also to be trained with dilations. */
export const depthwiseConv2d: typeof core.depthwiseConv2d = <T extends Image>(
  x: T | core.TensorLike,
  filter: core.Tensor4D | core.TensorLike,
  strides: [number, number] | number,
  pad: Parameters<typeof core.depthwiseConv2d>[3],
  dataFormat: "NHWC" | "NCHW" = "NHWC",
  dilations: [number, number] | number = [1, 1],
  dimRoundingMode?: "floor" | "round" | "ceil",
): T => {
  const apart = trainable(dilations);
  const rest = [strides, pad, dataFormat, apart, dimRoundingMode] as const;
  return core.depthwiseConv2d(x, filter as core.Tensor4D, ...rest);
};

/** `tf.separableConv2d`, also to be trained with dilations. */
export const separableConv2d: typeof core.separableConv2d = <T extends Image>(
  x: T | core.TensorLike,
  depthwise: core.Tensor4D | core.TensorLike,
  pointwise: core.Tensor4D | core.TensorLike,
  strides: [number, number] | number,
  pad: "valid" | "same",
  dilations: [number, number] | number = [1, 1],
  dataFormat: "NHWC" | "NCHW" = "NHWC",
): T => {
  if (!isDilated(dilations) || dataFormat === "NCHW") {
    const rest = [strides, pad, dilations, dataFormat] as const;
    return core.separableConv2d(x, depthwise as core.Tensor4D, pointwise as core.Tensor4D, ...rest);
  }
  const y = depthwiseConv2d(x, depthwise as core.Tensor4D, strides, pad, dataFormat, dilations);
  return core.conv2d(y, pointwise as core.Tensor4D, 1, "valid");
};

type Image = core.Tensor3D | core.Tensor4D;

/** Whether a dilation is not 1. */
export function isDilated(dilations: number | readonly number[]): boolean {
  return [dilations].flat().some((dilation) => dilation !== 1);
}

function isComposed({ dilations = 1, activation = "linear" }: Arguments): boolean {
  return activation === "linear" && isDilated(dilations);
}

/** The convolution, then its bias. */
function composed(
  convolve: typeof core.conv2d | typeof core.depthwiseConv2d,
  { x, filter, strides, pad, dataFormat, dilations, dimRoundingMode, bias }: Arguments,
): core.Tensor {
  const y = convolve(
    ...[x as core.Tensor4D, filter, strides, pad, dataFormat, dilations, dimRoundingMode] as const,
  );
  if (bias === undefined || bias === null) return y;
  const isByChannel = dataFormat === "NCHW" && (bias as core.Tensor).shape[0] > 1;
  return core.add(y, isByChannel ? core.reshape(bias, [-1, 1, 1]) : bias);
}
