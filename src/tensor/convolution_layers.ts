/**
 * Convolution layers of tfjs-layers where tfjs loses a setting or fails.
 *
 * Conv2D calls the fused operation, which cannot be trained with dilations; with an activation that
 * is not fused (tanh) it passes null, which the operation refuses in a gradient. DepthwiseConv2D and
 * the transposed convolutions ignore dilations. With channels first Conv1D leaves its output with
 * channels last, and SeparableConv2D adds its bias along another axis.
 */
import * as core from "@tensorflow/tfjs-core";
import { ConfigError, show } from "../core/errors.ts";
import { depthwiseConv2d, fused, isDilated, separableConv2d } from "./dilated_convolutions.ts";

/** What is used of a layer. */
interface ConvolutionLayer {
  readonly name: string;
  readonly rank: number;
  readonly kernelSize: readonly number[];
  readonly strides: [number, number];
  readonly padding: string;
  readonly dataFormat: string;
  readonly dilationRate: [number, number];
  readonly kernel: Weight<core.Tensor3D & core.Tensor4D>;
  readonly depthwiseKernel: Weight<core.Tensor4D>;
  readonly pointwiseKernel: Weight<core.Tensor4D>;
  readonly bias: Weight | null;
  readonly activation: { getClassName(): string; apply(x: core.Tensor): core.Tensor } | null;
  call(inputs: core.Tensor | core.Tensor[], kwargs: unknown): core.Tensor | core.Tensor[];
  computeOutputShape(inputShape: unknown): unknown;
}

type Weight<T extends core.Tensor = core.Tensor> = { read(): T };

type OfLayer<Method extends (...args: never[]) => unknown> = (
  this: ConvolutionLayer,
  ...args: Parameters<Method>
) => ReturnType<Method>;

/** Activations that Conv2D leaves to the fused operation. */
const FUSED_ACTIVATIONS = ["relu", "elu"];

/** Mends the layers; calling it again changes nothing. */
export function patchConvolutionLayers(): void {
  patchCall("Conv2D", ({ rank, dataFormat, padding, activation }) => {
    if (padding === "causal") return false;
    if (rank === 1) return dataFormat === "channelsFirst";
    return rank === 2 && !FUSED_ACTIVATIONS.includes(activation?.getClassName() ?? "linear");
  }, (layer, x) => {
    const { rank, strides, dilationRate, kernel, bias } = layer;
    const pad = paddingOf(layer);
    if (rank === 1) {
      const rest = [strides[0], pad, "NWC", dilationRate[0]] as const;
      return biased(layer, core.conv1d(x as core.Tensor3D, kernel.read(), ...rest));
    }
    return fused.conv2d({
      ...{ x: x as core.Tensor4D, filter: kernel.read(), strides, pad },
      ...{ dilations: dilationRate, bias: bias?.read() },
    });
  });
  patchCall("SeparableConv2D", isDilatedOrFirst, (layer, x) => {
    const { strides, dilationRate, depthwiseKernel, pointwiseKernel } = layer;
    const rest = [strides, paddingOf(layer), dilationRate] as const;
    const kernels = [depthwiseKernel.read(), pointwiseKernel.read()] as const;
    return biased(layer, separableConv2d(x as core.Tensor4D, ...kernels, ...rest));
  });
  patchCall("DepthwiseConv2D", isDilatedOrFirst, (layer, x) => {
    const { strides, dilationRate, depthwiseKernel } = layer;
    const rest = [strides, paddingOf(layer), "NHWC", dilationRate] as const;
    return biased(layer, depthwiseConv2d(x as core.Tensor4D, depthwiseKernel.read(), ...rest));
  });
  patchShape("DepthwiseConv2D", ({ kernelSize, dilationRate }) =>
    // What a kernel with gaps spans.
    kernelSize.map((size, i) => (size - 1) * dilationRate[i] + 1));
  for (const className of ["Conv2DTranspose", "Conv3DTranspose"]) {
    patchShape(className, ({ name, kernelSize, dilationRate }) => {
      if (!isDilated(dilationRate)) return kernelSize;
      throw new ConfigError(
        name,
        `a transposed convolution has no dilations: dilationRate must be 1, received ${
          show(dilationRate)
        }`,
      );
    });
  }
}

const PATCHED = Symbol.for("downhill.convolution");

/** Replaces `call` of the layers for which `isOurs`: convolve with the bias, activate. */
function patchCall(
  className: string,
  isOurs: (layer: ConvolutionLayer) => boolean,
  convolve: (layer: ConvolutionLayer, x: core.Tensor) => core.Tensor,
): void {
  patch(className, "call", (call) =>
    function (inputs, kwargs) {
      if (!isOurs(this)) return call.apply(this, [inputs, kwargs]);
      return core.tidy(() => {
        const isFirst = this.dataFormat === "channelsFirst";
        const [input] = [inputs].flat();
        const space = input.shape.map((_, axis) => axis).slice(1, -1);
        const x = isFirst ? core.transpose(input, [0, ...space.map((i) => i + 1), 1]) : input;
        const last = convolve(this, x);
        const y = isFirst ? core.transpose(last, [0, space.length + 1, ...space]) : last;
        return this.activation?.apply(y) ?? y;
      });
    });
}

/** Has the output's shape computed with a kernel of this size. */
function patchShape(
  className: string,
  kernelSizeOf: (layer: ConvolutionLayer) => readonly number[],
): void {
  patch(className, "computeOutputShape", (compute) =>
    function (inputShape) {
      const kernelSize = { value: kernelSizeOf(this) };
      return compute.call(Object.create(this, { kernelSize }), inputShape);
    });
}

/** Replaces a method where the class has it from. */
function patch<K extends "call" | "computeOutputShape">(
  className: string,
  name: K,
  make: (method: ConvolutionLayer[K]) => OfLayer<ConvolutionLayer[K]>,
): void {
  const [layer] = core.serialization.SerializationMap.getMap().classNameMap[className] ?? [];
  let prototype = layer?.prototype as unknown as ConvolutionLayer | null;
  while (prototype !== null && !Object.hasOwn(prototype, name)) {
    prototype = Object.getPrototypeOf(prototype) as ConvolutionLayer | null;
  }
  if (prototype === null || Object.hasOwn(prototype[name], PATCHED)) return;
  prototype[name] = make(prototype[name]) as ConvolutionLayer[K];
  Object.defineProperty(prototype[name], PATCHED, { value: true });
}

function isDilatedOrFirst({ dilationRate, dataFormat }: ConvolutionLayer): boolean {
  return isDilated(dilationRate) || dataFormat === "channelsFirst";
}

function biased({ bias }: ConvolutionLayer, y: core.Tensor): core.Tensor {
  return bias ? core.add(y, bias.read()) : y;
}

function paddingOf({ padding }: ConvolutionLayer): "same" | "valid" {
  return padding === "same" ? "same" : "valid";
}
