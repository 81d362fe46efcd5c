/**
 * Gradients of convolutions that tfjs refuses or gets wrong, for every backend.
 *
 * tfjs has none with dilations, none of the transposed convolution in three dimensions, none of a
 * depthwise convolution with channels first, and drops the rounding mode.
 *
 * tfjs' own kernels of the gradients know no dilations: there the taps of the filter are moved apart
 * with zeros between them. Kernels that know them are declared by `declareDilatedGradients`.
 */
import * as core from "@tensorflow/tfjs-core";

/** Backends whose gradient kernels take the attribute `dilations`. */
const dilated = new Set<string>();

/** Says whether the convolution kernels of a backend's gradients take the attribute `dilations`. */
export function declareDilatedGradients(backendName: string, isKnown: boolean): void {
  if (isKnown) dilated.add(backendName);
  else dilated.delete(backendName);
}

/** Attributes of a convolution. */
export interface Convolution {
  readonly strides: number | number[];
  readonly pad: unknown;
  readonly dilations?: number | number[] | null;
  readonly dataFormat?: string;
  readonly dimRoundingMode?: string;
}

/** The kernels of a convolution: of x and filter, of the filter's gradient, and of the input's. */
interface Kernels {
  readonly forward: string;
  readonly filter: string;
  readonly input: string;
  /** The number of spatial axes. */
  readonly axes: number;
}

const CONV2D: Kernels = {
  forward: core.Conv2D,
  filter: core.Conv2DBackpropFilter,
  input: core.Conv2DBackpropInput,
  axes: 2,
};
const CONV3D: Kernels = {
  forward: core.Conv3D,
  filter: core.Conv3DBackpropFilterV2,
  input: core.Conv3DBackpropInputV2,
  axes: 3,
};
const DEPTHWISE: Kernels = {
  forward: core.DepthwiseConv2dNative,
  filter: core.DepthwiseConv2dNativeBackpropFilter,
  input: core.DepthwiseConv2dNativeBackpropInput,
  axes: 2,
};

/** Registers the gradients, in place of those of tfjs. */
export function registerConvolutionGradients(): void {
  for (const kernels of [CONV2D, CONV3D, DEPTHWISE]) {
    core.registerGradient({
      kernelName: kernels.forward,
      inputsToSave: ["x", "filter"],
      gradFunc: (dy, [x, filter], attributes) => {
        const convolution = attributes as unknown as Convolution;
        const isRefused = kernels === DEPTHWISE && !ours.has(convolution.dilations as number[]);
        if (isRefused && spread(convolution, kernels).some((by) => by !== 1)) {
          // tfjs' own tests ask for the refusal; `depthwiseConv2d` of dilated_convolutions.ts trains.
          throw new Error(
            "Error in gradient of depthwiseConv2dNative: dilation rates greater than 1 are not yet " +
              "supported by this operation; use depthwiseConv2d of downhill's tf",
          );
        }
        return {
          x: () => inputGradient(kernels, convolution, x.shape, dy as core.Tensor, filter),
          filter: () => filterGradient(kernels, convolution, x, dy as core.Tensor, filter.shape),
        };
      },
    });
  }
  // A transposed convolution is the gradient of an input: it is linear in dy and in the filter.
  for (const kernels of [CONV2D, CONV3D]) {
    core.registerGradient({
      kernelName: kernels.input,
      inputsToSave: ["dy", "filter"],
      gradFunc: (slope, [dy, filter], attributes) => {
        const convolution = attributes as unknown as Convolution;
        const x = slope as core.Tensor;
        return {
          dy: () =>
            run(kernels.forward, { x, filter }, {
              ...convolution,
              dilations: convolution.dilations ?? Array(kernels.axes).fill(1),
            }),
          filter: () => filterGradient(kernels, convolution, x, dy, filter.shape),
        };
      },
    });
  }
}

/** Dilations of depthwise convolutions that have a gradient; the tape keeps the array itself. */
const ours = new WeakSet<readonly number[]>();

/** The dilations, with which a depthwise convolution has a gradient also if they are not 1. */
export function trainable(dilations: number | readonly number[]): [number, number] {
  const pair = spread({ strides: 1, pad: "valid", dilations: dilations as number }, DEPTHWISE);
  ours.add(pair);
  return pair as [number, number];
}

function run(
  kernel: string,
  inputs: Record<string, core.Tensor>,
  attributes: object,
): core.Tensor {
  return core.engine().runKernel(kernel, inputs, { ...attributes });
}

function inputGradient(
  kernels: Kernels,
  convolution: Convolution,
  inputShape: number[],
  dy: core.Tensor,
  filter: core.Tensor,
): core.Tensor {
  if (isDepthwiseFirst(kernels, convolution)) {
    const [n, c, h, w] = inputShape;
    const last = channelsLast(convolution);
    return toFirst(inputGradient(kernels, last, [n, h, w, c], toLast(dy), filter));
  }
  const dilations = spread(convolution, kernels);
  if (isKnown(dilations)) {
    return run(kernels.input, { dy, filter }, { ...convolution, dilations, inputShape });
  }
  const apart = dilations.reduce(moveApart, filter);
  const plain = { ...convolution, dilations: dilations.map(() => 1) };
  return run(kernels.input, { dy, filter: apart }, { ...plain, inputShape });
}

function filterGradient(
  kernels: Kernels,
  convolution: Convolution,
  x: core.Tensor,
  dy: core.Tensor,
  filterShape: number[],
): core.Tensor {
  if (isDepthwiseFirst(kernels, convolution)) {
    const last = channelsLast(convolution);
    return filterGradient(kernels, last, toLast(x), toLast(dy), filterShape);
  }
  const dilations = spread(convolution, kernels);
  if (isKnown(dilations)) {
    return run(kernels.filter, { x, dy }, { ...convolution, dilations, filterShape });
  }
  const plain = { ...convolution, dilations: dilations.map(() => 1) };
  const shape = filterShape.map((size, axis) => (size - 1) * (dilations[axis] ?? 1) + 1);
  const apart = run(kernels.filter, { x, dy }, { ...plain, filterShape: shape });
  return dilations.reduce(
    (gradient, dilation, axis) => everyTap(gradient, dilation, axis, filterShape[axis]),
    apart,
  );
}

/** The kernels of a depthwise convolution's gradients have no data format. */
function isDepthwiseFirst(kernels: Kernels, { dataFormat }: Convolution): boolean {
  return kernels === DEPTHWISE && dataFormat === "NCHW";
}

/** Explicit padding is in the order of the axes. */
function channelsLast(convolution: Convolution): Convolution {
  const { pad } = convolution;
  const [n, c, h, w] = Array.isArray(pad) ? pad : [];
  return { ...convolution, dataFormat: "NHWC", pad: Array.isArray(pad) ? [n, h, w, c] : pad };
}

function toLast(x: core.Tensor): core.Tensor {
  return core.transpose(x, [0, 2, 3, 1]);
}

function toFirst(x: core.Tensor): core.Tensor {
  return core.transpose(x, [0, 3, 1, 2]);
}

/** A dilation for each spatial axis. */
function spread(convolution: Convolution, { axes }: Kernels): number[] {
  // tfjs-layers passes null.
  const dilations = convolution.dilations ?? 1;
  return typeof dilations === "number" ? Array(axes).fill(dilations) : dilations.slice(0, axes);
}

/** Whether the current backend's kernels do these dilations. */
function isKnown(dilations: readonly number[]): boolean {
  return dilations.every((dilation) => dilation === 1) || dilated.has(core.getBackend());
}

/** The taps along an axis `dilation` apart, with zeros between them. */
function moveApart(filter: core.Tensor, dilation: number, axis: number): core.Tensor {
  if (dilation === 1) return filter;
  const { shape } = filter;
  const [before, size, after] = around(shape, axis);
  const padded = core.pad(core.reshape(filter, [before, size, 1, after]), [
    ...[[0, 0], [0, 0], [0, dilation - 1], [0, 0]] as [number, number][],
  ]);
  const length = (size - 1) * dilation + 1;
  const apart = core.slice(core.reshape(padded, [before, size * dilation, after]), [0, 0, 0], [
    ...[before, length, after],
  ]);
  return core.reshape(apart, shape.map((n, i) => i === axis ? length : n));
}

/** Every `dilation`-th tap along an axis, `size` of them: the inverse of moveApart. */
function everyTap(
  filter: core.Tensor,
  dilation: number,
  axis: number,
  size: number,
): core.Tensor {
  if (dilation === 1) return filter;
  const { shape } = filter;
  const [before, length, after] = around(shape, axis);
  const padded = core.pad(core.reshape(filter, [before, length, after]), [
    ...[[0, 0], [0, size * dilation - length], [0, 0]] as [number, number][],
  ]);
  const taps = core.slice(core.reshape(padded, [before, size, dilation, after]), [0, 0, 0, 0], [
    ...[before, size, 1, after],
  ]);
  return core.reshape(taps, shape.map((n, i) => i === axis ? size : n));
}

/** The sizes before, along and after an axis. */
function around(shape: readonly number[], axis: number): [number, number, number] {
  const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
  return [product(shape.slice(0, axis)), shape[axis], product(shape.slice(axis + 1))];
}
