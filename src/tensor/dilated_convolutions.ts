/**
 * Convolutions with dilations and without a fused activation that train.
 *
 * tfjs' fused operation without an activation has a gradient of its own, which refuses dilations, and
 * its Conv2D layer calls it; with an activation that is not fused (tanh) the layer passes null, which
 * the operation refuses in a gradient.
 */
import * as core from "@tensorflow/tfjs-core";

type Fused = typeof core.fused;
type Arguments = Parameters<Fused["conv2d"]>[0];

/** tfjs' fused operations, where dilations have a gradient too. */
export const fused: Fused = {
  ...core.fused,
  conv2d: <T extends core.Tensor>(args: Arguments): T =>
    (isComposed(args) ? composed(core.conv2d, args) : (core.fused.conv2d as Plain)(args)) as T,
  depthwiseConv2d: <T extends core.Tensor>(args: Arguments): T =>
    (isComposed(args)
      ? composed(core.depthwiseConv2d, args)
      : (core.fused.depthwiseConv2d as Plain)(args)) as T,
};

type Plain = (args: Arguments) => core.Tensor;

function isComposed({ dilations = 1, activation = "linear" }: Arguments): boolean {
  return activation === "linear" && [dilations].flat().some((dilation) => dilation !== 1);
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

/** What is used of a Conv2D layer of tfjs-layers. */
interface ConvolutionLayer {
  readonly rank: number;
  readonly strides: [number, number];
  readonly padding: string;
  readonly dataFormat: string;
  readonly dilationRate: [number, number];
  readonly kernel: { read(): core.Tensor4D };
  readonly bias: { read(): core.Tensor } | null;
  readonly activation: { getClassName(): string; apply(x: core.Tensor): core.Tensor };
  call(inputs: core.Tensor | core.Tensor[], kwargs: unknown): core.Tensor | core.Tensor[];
}

/** Activations that the layer leaves to the fused operation. */
const FUSED_ACTIVATIONS = ["relu", "elu"];

/** Makes the Conv2D layers of tfjs-layers call `fused` above; calling it again changes nothing. */
export function patchConvolutionLayers(): void {
  const [layer] = core.serialization.SerializationMap.getMap().classNameMap["Conv2D"] ?? [];
  let prototype = layer?.prototype as unknown as ConvolutionLayer | null;
  while (prototype !== null && !Object.hasOwn(prototype, "call")) {
    prototype = Object.getPrototypeOf(prototype) as ConvolutionLayer | null;
  }
  if (prototype === null || Object.hasOwn(prototype.call, PATCHED)) return;
  const { call } = prototype;
  prototype.call = function (this: ConvolutionLayer, inputs, kwargs) {
    const isLeft = this.rank !== 2 || FUSED_ACTIVATIONS.includes(this.activation.getClassName());
    return isLeft ? call.apply(this, [inputs, kwargs]) : convolve(this, [inputs].flat()[0]);
  };
  Object.defineProperty(prototype.call, PATCHED, { value: true });
}

const PATCHED = Symbol.for("downhill.dilated");

function convolve(layer: ConvolutionLayer, input: core.Tensor): core.Tensor {
  return core.tidy(() => {
    const isFirst = layer.dataFormat === "channelsFirst";
    const y = fused.conv2d({
      x: (isFirst ? core.transpose(input, [0, 2, 3, 1]) : input) as core.Tensor4D,
      filter: layer.kernel.read(),
      strides: layer.strides,
      pad: layer.padding === "same" ? "same" : "valid",
      dilations: layer.dilationRate,
      bias: layer.bias?.read(),
    });
    return layer.activation.apply(isFirst ? core.transpose(y, [0, 3, 1, 2]) : y);
  });
}
