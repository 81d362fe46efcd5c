/**
 * Convolutions with dilations that train, as operations and in the layers that call them.
 *
 * tfjs refuses the gradient of a depthwise convolution with dilations, which its tests ask for, so
 * the registry keeps to that and the operations here have gradients of their own. tfjs' fused
 * operation without an activation has a gradient of its own, which refuses dilations, and its Conv2D
 * layer calls it; with an activation that is not fused (tanh) the layer passes null, which the
 * operation refuses in a gradient.
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

function isDilated(dilations: number | readonly number[]): boolean {
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

/** What is used of a convolution layer of tfjs-layers. */
interface ConvolutionLayer {
  readonly rank: number;
  readonly strides: [number, number];
  readonly padding: string;
  readonly dataFormat: string;
  readonly dilationRate: [number, number];
  readonly kernel: { read(): core.Tensor4D };
  readonly depthwiseKernel: { read(): core.Tensor4D };
  readonly pointwiseKernel: { read(): core.Tensor4D };
  readonly bias: { read(): core.Tensor } | null;
  readonly activation: { getClassName(): string; apply(x: core.Tensor): core.Tensor } | null;
  call(inputs: core.Tensor | core.Tensor[], kwargs: unknown): core.Tensor | core.Tensor[];
}

/** Activations that the layer leaves to the fused operation. */
const FUSED_ACTIVATIONS = ["relu", "elu"];

/** Makes the convolution layers of tfjs-layers call the operations above; calling it again changes nothing. */
export function patchConvolutionLayers(): void {
  patch("Conv2D", ({ rank, activation }) => {
    return rank === 2 && !FUSED_ACTIVATIONS.includes(activation?.getClassName() ?? "linear");
  }, (layer, x) =>
    fused.conv2d({
      x,
      filter: layer.kernel.read(),
      strides: layer.strides,
      pad: paddingOf(layer),
      dilations: layer.dilationRate,
      bias: layer.bias?.read(),
    }));
  patch(
    "SeparableConv2D",
    ({ rank, dilationRate }) => rank === 2 && isDilated(dilationRate),
    (layer, x) => {
      const y = separableConv2d(
        ...[x, layer.depthwiseKernel.read(), layer.pointwiseKernel.read()] as const,
        ...[layer.strides, paddingOf(layer), layer.dilationRate] as const,
      );
      return layer.bias ? core.add(y, layer.bias.read()) : y;
    },
  );
}

/** Replaces `call` of the layers for which `isOurs`: convolve with the bias, activate. */
function patch(
  className: string,
  isOurs: (layer: ConvolutionLayer) => boolean,
  convolve: (layer: ConvolutionLayer, x: core.Tensor4D) => core.Tensor,
): void {
  const [layer] = core.serialization.SerializationMap.getMap().classNameMap[className] ?? [];
  let prototype = layer?.prototype as unknown as ConvolutionLayer | null;
  while (prototype !== null && !Object.hasOwn(prototype, "call")) {
    prototype = Object.getPrototypeOf(prototype) as ConvolutionLayer | null;
  }
  if (prototype === null || Object.hasOwn(prototype.call, PATCHED)) return;
  const { call } = prototype;
  prototype.call = function (this: ConvolutionLayer, inputs, kwargs) {
    if (!isOurs(this)) return call.apply(this, [inputs, kwargs]);
    return core.tidy(() => {
      const isFirst = this.dataFormat === "channelsFirst";
      const input = [inputs].flat()[0];
      const x = isFirst ? core.transpose(input, [0, 2, 3, 1]) : input;
      const last = convolve(this, x as core.Tensor4D);
      const y = isFirst ? core.transpose(last, [0, 3, 1, 2]) : last;
      return this.activation?.apply(y) ?? y;
    });
  };
  Object.defineProperty(prototype.call, PATCHED, { value: true });
}

const PATCHED = Symbol.for("downhill.dilated");

function paddingOf({ padding }: ConvolutionLayer): "same" | "valid" {
  return padding === "same" ? "same" : "valid";
}
