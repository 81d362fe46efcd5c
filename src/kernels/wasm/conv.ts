/**
 * Convolutions in two and three dimensions, their gradients and transposes, on the products with
 * patches of as/gemm.ts. A convolution in one dimension is one in two for tfjs.
 *
 * The work is done on channels last: tensors with channels first are transposed before and after.
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import { copyBox, transpose } from "./copy.ts";
import { activationNumber, type Epilogue, float32Bits } from "./gemm.ts";
import type { Attributes, Inputs, Kernel, KernelRows } from "./kernel.ts";
import { type Phase, phasesOf } from "./phases.ts";
import { broadcastStrides, forEachOffset, stridesOf } from "./strides.ts";
import { convolutionWindow, type Triple, volume, type Window, withOutput } from "./window.ts";

/** The rows of the kernel table. */
export const convKernels: KernelRows = {
  Conv2D: convolution,
  Conv2DBackpropFilter: filterGradient,
  Conv2DBackpropInput: inputGradient,
  Conv3D: convolution,
  Conv3DBackpropFilterV2: filterGradient,
  Conv3DBackpropInputV2: inputGradient,
  FusedConv2D: (context, inputs, attributes) => {
    const { x, filter } = inputs;
    const epilogue = epilogueOf(inputs, attributes);
    return epilogue && convolve(context, x, filter, attributes, epilogue);
  },
};

function convolution(context: KernelContext, { x, filter }: Inputs, attributes: Attributes) {
  return convolve(context, x, filter, attributes, {});
}

/** What a fused operation does after its product; undefined for what no kernel here does. */
export function epilogueOf(
  { bias, preluActivationWeights }: Inputs,
  { activation, leakyreluAlpha }: Attributes,
): Epilogue | undefined {
  const name = activation as string | undefined ?? "linear";
  if (activationNumber(name) === undefined) return undefined;
  return {
    bias,
    activation: name,
    slopes: name === "prelu" ? preluActivationWeights : undefined,
    slope: leakyreluAlpha as number | undefined,
  };
}

function convolve(
  context: KernelContext,
  x: tf.TensorInfo,
  filter: tf.TensorInfo,
  attributes: Attributes,
  epilogue: Epilogue,
): ReturnType<Kernel> {
  const window = convolutionWindow(x.shape, filter.shape, attributes);
  return onChannelsLast(context, window, x, epilogue, (image, after) => {
    const y = context.output(channelsLastShape(window), "float32");
    const product: PatchProduct = {
      ...window,
      taps: window.filter,
      channels: window.inChannels,
      image: context.address(image),
      filter: context.address(filter),
      result: context.address(y),
    };
    if (isByChannel(after, y.shape)) {
      patchesTimesFilter(context, product, after);
    } else {
      patchesTimesFilter(context, product, {});
      finish(context, y, after);
    }
    return y;
  });
}

/**
 * Runs `compute` on an image with channels last. If the operation has them first, its input is
 * transposed, so are the operands of the epilogue, and the result is transposed back.
 */
export function onChannelsLast(
  context: KernelContext,
  window: Window,
  x: tf.TensorInfo,
  epilogue: Epilogue,
  compute: (image: tf.TensorInfo, epilogue: Epilogue) => tf.TensorInfo,
): tf.TensorInfo {
  if (!window.isChannelsFirst) return compute(x, epilogue);
  const owned: tf.TensorInfo[] = [];
  const last = (tensor: tf.TensorInfo): tf.TensorInfo => {
    owned.push(toChannelsLast(context, tensor));
    return owned.at(-1)!;
  };
  const operand = (tensor: tf.TensorInfo | undefined): tf.TensorInfo | undefined => {
    // A list of numbers belongs to the channels in both formats.
    if (tensor === undefined || tensor.shape.length < 2) return tensor;
    return last({ ...tensor, shape: [1, 1, 1, 1, ...tensor.shape].slice(-4) });
  };
  const after = { ...epilogue, bias: operand(epilogue.bias), slopes: operand(epilogue.slopes) };
  const y = compute(last(x), after);
  const result = transpose(context, y, [0, 3, 1, 2]);
  for (const { dataId } of [...owned, y]) context.backend.disposeData(dataId);
  return result;
}

/** [n, c, h, w] as a new tensor [n, h, w, c]. */
function toChannelsLast(context: KernelContext, x: tf.TensorInfo): tf.TensorInfo {
  return transpose(context, x, [0, 2, 3, 1]);
}

/** The shape of the output with channels last. */
export function channelsLastShape({ outShape, isChannelsFirst }: Window): number[] {
  if (!isChannelsFirst) return outShape;
  const [batch, channels, ...space] = outShape;
  return [batch, ...space, channels];
}

/** Whether bias and slopes are one number, or one a channel. */
export function isByChannel({ bias, slopes }: Epilogue, shape: readonly number[]): boolean {
  return [bias, slopes].every((operand) =>
    operand === undefined ||
    broadcastStrides(operand.shape, shape).every((s, axis) => s === 0 || axis === shape.length - 1)
  );
}

/** Bias and activation over a finished tensor, with operands of any shape that broadcasts. */
export function finish(context: KernelContext, y: tf.TensorInfo, epilogue: Epilogue): void {
  const { bias, slopes, activation, slope } = epilogue;
  if (y.shape.includes(0)) return;
  const rank = y.shape.length;
  const [b, a] = [bias, slopes].map((operand) =>
    operand === undefined ? y.shape.map(() => 0) : broadcastStrides(operand.shape, y.shape)
  );
  const columns = y.shape[rank - 1];
  const isOne = isByChannel(epilogue, y.shape);
  const rows = isOne ? tf.util.sizeFromShape(y.shape) / columns : y.shape[rank - 2];
  const outer = isOne ? [] : y.shape.slice(0, -2);
  const to = context.address(y);
  const fromBias = bias === undefined ? 0 : context.address(bias);
  const fromSlopes = slopes === undefined
    ? context.list([float32Bits(slope ?? 0)])
    : context.address(slopes);
  forEachOffset(
    outer,
    [stridesOf(y.shape), b, a],
    ([at, atBias, atSlopes]) =>
      context.exports.f32_epilogue(
        ...[rows, columns, to + 4 * at, 4 * columns] as const,
        ...[fromBias + 4 * atBias, b[rank - 2], b[rank - 1]] as const,
        activationNumber(activation ?? "linear")!,
        ...[fromSlopes + 4 * atSlopes, a[rank - 2], a[rank - 1]] as const,
      ),
  );
}

/** Patches of images times a filter [taps, channels, outChannels]. */
interface PatchProduct {
  readonly batch: number;
  readonly in: Triple;
  readonly out: Triple;
  readonly taps: Triple;
  readonly strides: Triple;
  readonly dilations: Triple;
  readonly pad: Triple;
  readonly channels: number;
  readonly outChannels: number;
  /** Addresses of the images, the filter, and the other factor's or the result's positions. */
  readonly image: number;
  readonly filter: number;
  readonly result: number;
}

function patchesTimesFilter(
  context: KernelContext,
  product: PatchProduct,
  { bias, slopes, activation = "linear", slope = 0 }: Epilogue,
): void {
  const { channels, outChannels, image, filter, result } = product;
  const { exports, tile } = context;
  const m = product.batch * volume(product.out);
  const k = volume(product.taps) * channels;
  if (m * outChannels === 0) return;
  const list = context.list([...patchList(product), float32Bits(slope)]);
  const fromBias = bias === undefined ? 0 : context.address(bias);
  const fromSlopes = slopes === undefined ? list + 4 * PATCH_LIST : context.address(slopes);
  const [biasColumn, slopeColumn] = [bias, slopes].map((x) => Number((x?.shape.at(-1) ?? 1) > 1));
  const f = activationNumber(activation)!;
  const scratch = context.scratch(exports.f32_conv_scratch());
  if (k === 0) {
    exports.b32_fill(m * outChannels, result, 0);
    exports.f32_epilogue(
      ...[m, outChannels, result, 4 * outChannels, fromBias, 0, biasColumn] as const,
      ...[f, fromSlopes, 0, slopeColumn] as const,
    );
  } else if (isPointwise(product)) {
    exports.f32_gemm(
      ...[tile, m, outChannels, k, image, k, 1, filter, outChannels, 1, result, scratch] as const,
      ...[fromBias, 0, biasColumn, f, fromSlopes, 0, slopeColumn] as const,
    );
  } else {
    exports.f32_conv(
      ...[tile, m, outChannels, k, image, list, filter, result, scratch] as const,
      ...[fromBias, biasColumn, f, fromSlopes, slopeColumn] as const,
    );
  }
}

/** Whether each position reads the pixel at the same place, and nothing else. */
function isPointwise(product: PatchProduct): boolean {
  return [0, 1, 2].every((axis) =>
    product.taps[axis] === 1 && product.strides[axis] === 1 && product.pad[axis] === 0 &&
    product.in[axis] === product.out[axis]
  );
}

/** Numbers of a description of patches. */
const PATCH_LIST = 18;

/** The list of as/patches.ts. Taps of a row that are neighbours are one run. */
function patchList(
  { in: size, out, taps, strides, dilations, pad, channels }: PatchProduct,
): number[] {
  const isRow = dilations[2] === 1 || taps[2] === 1;
  return [
    ...out,
    ...[strides[0], strides[1], strides[2] * channels],
    ...[pad[0], pad[1], pad[2] * channels],
    ...[size[0], size[1], size[2] * channels],
    ...isRow ? [taps[1], 1, taps[2] * channels] : [taps[1], taps[2], channels],
    ...[dilations[0], dilations[1], dilations[2] * channels],
  ];
}

/** Positions that are summed at a time; more are cut between images, and the parts' sums are added. */
const POSITIONS = 65536;

/** dW[tap, c, o] = sum over positions of x[position * stride + tap * dilation - pad, c] dy[position, o]. */
function filterGradient(
  context: KernelContext,
  { x, dy }: Inputs,
  attributes: Attributes,
): tf.TensorInfo {
  const filterShape = attributes.filterShape as number[];
  const window = withOutput(convolutionWindow(x.shape, filterShape, attributes), dy.shape);
  const dw = context.output(filterShape, "float32");
  const size = tf.util.sizeFromShape(filterShape);
  const positions = volume(window.out);
  if (size === 0) return dw;
  if (window.batch * positions === 0) {
    context.exports.b32_fill(size, context.address(dw), 0);
    return dw;
  }
  const [image, slope] = window.isChannelsFirst
    ? [x, dy].map((tensor) => toChannelsLast(context, tensor))
    : [x, dy];
  const step = Math.max(1, Math.floor(POSITIONS / positions));
  const part = step < window.batch ? context.output(filterShape, "float32") : undefined;
  const to = context.address(dw);
  const { exports } = context;
  for (let first = 0; first < window.batch; first += step) {
    const result = first === 0 ? to : context.address(part!);
    positionsTimesSlopes(context, {
      ...window,
      batch: Math.min(step, window.batch - first),
      taps: window.filter,
      channels: window.inChannels,
      image: context.address(image) + 4 * first * volume(window.in) * window.inChannels,
      filter: context.address(slope) + 4 * first * positions * window.outChannels,
      result,
    });
    if (first > 0) exports.f32_add(1, size, to, size, 1, result, size, 1, to);
  }
  const owned = [...window.isChannelsFirst ? [image, slope] : [], ...part ? [part] : []];
  for (const { dataId } of owned) context.backend.disposeData(dataId);
  return dw;
}

/** The transposed patches times the slopes dy, at the address `filter`. */
function positionsTimesSlopes(context: KernelContext, product: PatchProduct): void {
  const { channels, outChannels, image, filter: dy, result } = product;
  const { exports, tile } = context;
  const k = product.batch * volume(product.out);
  const m = volume(product.taps) * channels;
  const list = context.list(patchList(product));
  const scratch = context.scratch(exports.f32_conv_scratch());
  if (isPointwise(product)) {
    exports.f32_gemm(
      ...[tile, m, outChannels, k, image, 1, m, dy, outChannels, 1, result, scratch] as const,
      ...[0, 0, 0, 0, 0, 0, 0] as const,
    );
  } else {
    exports.f32_conv_filter(tile, m, outChannels, k, image, list, dy, result, scratch);
  }
}

/**
 * dx[i, c] = sum over taps, o of dy[(i + pad - tap * dilation) / stride, o] W[tap, c, o], where the
 * quotient is whole. The inputs of equal remainder by the stride use the same taps: their gradient is
 * a convolution of dy, without a stride, with these taps in reverse.
 */
function inputGradient(
  context: KernelContext,
  { dy, filter }: Inputs,
  attributes: Attributes,
): tf.TensorInfo {
  const inShape = attributes.inputShape as number[];
  const expected = convolutionWindow(inShape, filter.shape, attributes);
  const transposed = { ...expected, outShape: inShape };
  return onChannelsLast(context, transposed, dy, {}, (all) => {
    const slope = cropped(context, all, channelsLastShape(expected));
    const window = withOutput({ ...expected, isChannelsFirst: false }, slope.shape);
    const { inChannels, outChannels, strides } = window;
    const dx = context.output(channelsLastShape(transposed), "float32");
    const size = tf.util.sizeFromShape(dx.shape);
    const isWhole = volume(strides) === 1;
    const phases = [0, 1, 2].map((axis) => phasesOf(window, axis));
    const isNothing = [filter, slope].some(({ shape }) => shape.includes(0));
    const isCovered = phases.every((list) => list.every(({ taps }) => taps > 0));
    if (isNothing || !isCovered) context.exports.b32_fill(size, context.address(dx), 0);
    const shape = [window.batch, ...window.in, inChannels];
    for (const d of phases[0]) {
      for (const h of phases[1]) {
        for (const w of phases[2]) {
          const phase = [d, h, w];
          if (isNothing || phase.some((axis) => axis.taps * axis.count === 0)) continue;
          const triple = (key: keyof Phase): Triple => [d[key], h[key], w[key]];
          const counts = triple("count");
          const flipped = flippedTaps(context, filter, window, phase);
          const part = isWhole
            ? dx
            : context.output([window.batch, ...counts, inChannels], "float32");
          patchesTimesFilter(context, {
            batch: window.batch,
            in: window.out,
            out: counts,
            taps: triple("taps"),
            strides: [1, 1, 1],
            dilations: triple("dilation"),
            pad: triple("pad"),
            channels: outChannels,
            outChannels: inChannels,
            image: context.address(slope),
            filter: context.address(flipped),
            result: context.address(part),
          }, {});
          context.backend.disposeData(flipped.dataId);
          if (isWhole) continue;
          const all = stridesOf(shape);
          const offset = phase.reduce((sum, { first }, axis) => sum + first * all[axis + 1], 0);
          const lattice = all.map((s, axis) => s * (strides[axis - 1] ?? 1));
          copyBox(context, part.shape, [part, 0, stridesOf(part.shape)], [dx, offset, lattice]);
          context.backend.disposeData(part.dataId);
        }
      }
    }
    context.backend.disposeData(slope.dataId);
    return dx;
  });
}

/** tfjs lets a transposed convolution have an output that is too small: what has no place is left out. */
function cropped(
  context: KernelContext,
  x: tf.TensorInfo,
  limit: readonly number[],
): tf.TensorInfo {
  const shape = x.shape.map((size, axis) => Math.min(size, limit[axis]));
  if (tf.util.arraysEqual(shape, x.shape)) return context.share(x, shape);
  const y = context.output(shape, x.dtype);
  copyBox(context, shape, [x, 0, stridesOf(x.shape)], [y, 0, stridesOf(shape)]);
  return y;
}

/** The taps of a phase in reverse, each as [outChannels, inChannels]. */
function flippedTaps(
  context: KernelContext,
  filter: tf.TensorInfo,
  { filter: size, inChannels, outChannels }: Window,
  phase: readonly Phase[],
): tf.TensorInfo {
  const taps = phase.map((axis) => axis.taps);
  const result = context.output([...taps, outChannels, inChannels], "float32");
  const strides = stridesOf([...size, inChannels, outChannels]);
  const targets = stridesOf(result.shape);
  const last = phase.reduce(
    (sum, axis, i) => sum + (axis.firstTap + (axis.taps - 1) * axis.tapStep) * strides[i],
    0,
  );
  context.exports.b32_transpose(
    3,
    context.list([
      ...taps,
      ...phase.map((axis, i) => -axis.tapStep * strides[i]),
      ...targets.slice(0, 3),
      ...[0, 0, 0],
    ]),
    ...[outChannels, inChannels, outChannels, inChannels] as const,
    context.address(filter) + 4 * last,
    context.address(result),
  );
  return result;
}
