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
