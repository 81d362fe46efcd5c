/**
 * Convolutions in two and three dimensions, their gradients and transposes, on the products with
 * patches of as/gemm.ts. A convolution in one dimension is one in two for tfjs.
 *
 * The work is done on channels last: tensors with channels first are transposed before and after.
 */
import * as tf from "../../tensor/tf.ts";
import { channelsLastShape, onChannelsLast, toChannelsLast } from "./channels.ts";
import type { KernelContext } from "./context.ts";
import { copyBox } from "./copy.ts";
import { epilogueOf, finish, isByChannel } from "./epilogue.ts";
import type { Epilogue } from "./gemm.ts";
import type { Attributes, Inputs, Kernel, KernelRows } from "./kernel.ts";
import { patchesTimesFilter, type PatchProduct, positionsTimesSlopes } from "./patches.ts";
import { type Phase, phasesOf } from "./phases.ts";
import { stridesOf } from "./strides.ts";
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
 * Positions of the filter's gradient that are summed at a time, in blocks of 256: more are cut between
 * images and the parts' sums are added in order, so that no sum has more than some hundred terms.
 */
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
