/** Products with the patches of images, on f32_conv and f32_conv_filter of as/conv.ts. */
import type { KernelContext } from "./context.ts";
import { activationNumber, type Epilogue, float32Bits } from "./gemm.ts";
import { type Triple, volume } from "./window.ts";

/** Patches of images times a filter [taps, channels, outChannels]. */
export interface PatchProduct {
  readonly batch: number;
  readonly in: Triple;
  readonly out: Triple;
  readonly taps: Triple;
  readonly strides: Triple;
  readonly dilations: Triple;
  readonly pad: Triple;
  readonly channels: number;
  readonly outChannels: number;
  /** Addresses: of the images, of the filter (dy in the filter's gradient), and of the result. */
  readonly image: number;
  readonly filter: number;
  readonly result: number;
}

/** Y[position, o] = f(sum over taps and channels of patch * filter + bias), one bias and slope a channel. */
export function patchesTimesFilter(
  context: KernelContext,
  product: PatchProduct,
  epilogue: Epilogue,
): void {
  if (isMostlyEdge(product)) return onPadded(context, product, epilogue);
  const { bias, slopes, activation = "linear", slope = 0 } = epilogue;
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
  const scratch = context.scratch(exports.f32_gemm_scratch());
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

/** From this many products on an image may be copied. */
const LARGE = 2 ** 20;

/**
 * Whether many positions of a single image use taps that no other position uses: computed one by one
 * they take longer than with the zeros around the image.
 */
function isMostlyEdge(
  { batch, in: size, out, taps, strides, dilations, pad, ...rest }: PatchProduct,
): boolean {
  const products = volume(out) * volume(taps) * rest.channels * rest.outChannels;
  if (batch !== 1 || products < LARGE) return false;
  const corners = [0, 1, 2].map((axis) => {
    const last = size[axis] - 1 + pad[axis] - (taps[axis] - 1) * dilations[axis];
    const low = Math.max(0, Math.ceil(pad[axis] / strides[axis]));
    const high = Math.min(out[axis] - 1, Math.floor(last / strides[axis]));
    return out[axis] === 1 ? 1 : 1 - Math.max(0, high - low + 1) / out[axis];
  });
  return volume(corners as unknown as Triple) > 0.1 && volume(out) > 1;
}

/** The same with a copy of the image, with zeros around it. */
function onPadded(context: KernelContext, product: PatchProduct, epilogue: Epilogue): void {
  const { exports, backend } = context;
  const { in: [d, h, w], out, taps, strides, dilations, pad, channels } = product;
  const before = pad.map((size) => Math.max(0, size));
  const whole = product.in.map((size, axis) =>
    before[axis] +
    Math.max(
      size,
      (out[axis] - 1) * strides[axis] + (taps[axis] - 1) * dilations[axis] + 1 - pad[axis],
    )
  ) as unknown as Triple;
  const copy = context.output([...whole, channels], "float32");
  const image = context.address(copy);
  exports.b32_fill(volume(whole) * channels, image, 0);
  const [row, rowOfCopy] = [w * channels, whole[2] * channels];
  const first = ((before[0] * whole[1] + before[1]) * whole[2] + before[2]) * channels;
  exports.copy_runs(
    ...[1, context.list([d, h * row, whole[1] * rowOfCopy, 0]), 4, 4 * row, h] as const,
    ...[row, rowOfCopy, product.image, image + 4 * first] as const,
  );
  const inside = pad.map((size, axis) => size - before[axis]) as unknown as Triple;
  patchesTimesFilter(context, { ...product, in: whole, pad: inside, image }, epilogue);
  backend.disposeData(copy.dataId);
}

/** The transposed patches times the slopes dy, at the address `filter`. */
export function positionsTimesSlopes(context: KernelContext, product: PatchProduct): void {
  const { channels, outChannels, image, filter: dy, result } = product;
  const { exports, tile } = context;
  const k = product.batch * volume(product.out);
  const m = volume(product.taps) * channels;
  const list = context.list(patchList(product));
  const scratch = context.scratch(exports.f32_gemm_scratch());
  if (isPointwise(product)) {
    exports.f32_gemm(
      ...[tile, m, outChannels, k, image, 1, m, dy, outChannels, 1, result, scratch] as const,
      ...[0, 0, 0, 0, 0, 0, 0] as const,
    );
  } else {
    exports.f32_conv_filter(tile, m, outChannels, k, image, list, dy, result, scratch);
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
