/**
 * The sizes of convolutions and poolings. Spatial axes are depth, height and width, with depth 1 in
 * two dimensions; images are [batch, depth, height, width, channels].
 */
import * as tf from "../../tensor/tf.ts";
import type { Attributes } from "./kernel.ts";

/** A number for each of depth, height and width. */
export type Triple = readonly [number, number, number];

/** Output o reads input o * strides + tap * dilations - pad, for every tap below `filter`. */
export interface Window {
  readonly batch: number;
  readonly in: Triple;
  readonly out: Triple;
  readonly filter: Triple;
  readonly strides: Triple;
  readonly dilations: Triple;
  readonly pad: Triple;
  readonly inChannels: number;
  readonly outChannels: number;
  /** Whether the tensors of the operation are [batch, channels, height, width]. */
  readonly isChannelsFirst: boolean;
  /** The shape of the output tensor. */
  readonly outShape: number[];
}

/** The window of a convolution, depthwise or not, of an input of rank 4 or 5. */
export function convolutionWindow(
  inShape: readonly number[],
  filterShape: readonly number[],
  attributes: Attributes,
  isDepthwise = false,
): Window {
  const { strides, pad, dataFormat, dimRoundingMode } = attributes;
  const dilations = attributes.dilations ?? 1;
  if (inShape.length === 5) {
    const info = tf.backend_util.computeConv3DInfo(
      inShape as Shape5D,
      filterShape as Shape5D,
      strides as number,
      dilations as number,
      pad as "same",
    );
    return windowOf3D(info);
  }
  const info = tf.backend_util.computeConv2DInfo(
    inShape as Shape4D,
    filterShape as Shape4D,
    strides as number,
    dilations as number,
    pad as "same",
    dimRoundingMode as "floor" | undefined,
    isDepthwise,
    tf.backend_util.convertConv2DDataFormat((dataFormat as "NHWC" | undefined) ?? "NHWC"),
  );
  return windowOf2D(info);
}

/** The window of a pooling of an input of rank 4 or 5. */
export function poolingWindow(inShape: readonly number[], attributes: Attributes): Window {
  const { filterSize, strides, pad, dimRoundingMode, dataFormat } = attributes;
  const rounding = dimRoundingMode as "floor" | undefined;
  if (inShape.length === 5) {
    return windowOf3D(tf.backend_util.computePool3DInfo(
      inShape as Shape5D,
      filterSize as number,
      strides as number,
      1,
      pad as "same",
      rounding,
      dataFormat as "NDHWC" | undefined,
    ));
  }
  return windowOf2D(tf.backend_util.computePool2DInfo(
    inShape as Shape4D,
    filterSize as number,
    strides as number,
    1,
    pad as "same",
    rounding,
  ));
}

/** The window whose output has the size of `shape`, a gradient of rank 4 or 5. */
export function withOutput(window: Window, shape: readonly number[]): Window {
  const space = window.isChannelsFirst ? shape.slice(2) : shape.slice(1, -1);
  const out = (space.length === 2 ? [1, ...space] : space) as unknown as Triple;
  return { ...window, out };
}

/** The product of three sizes. */
export function volume([d, h, w]: Triple): number {
  return d * h * w;
}

type Shape4D = [number, number, number, number];
type Shape5D = [number, number, number, number, number];

function windowOf2D(info: tf.backend_util.Conv2DInfo): Window {
  return checked({
    batch: info.batchSize,
    in: [1, info.inHeight, info.inWidth],
    out: [1, info.outHeight, info.outWidth],
    filter: [1, info.filterHeight, info.filterWidth],
    strides: [1, info.strideHeight, info.strideWidth],
    dilations: [1, info.dilationHeight, info.dilationWidth],
    pad: [0, info.padInfo.top, info.padInfo.left],
    inChannels: info.inChannels,
    outChannels: info.outChannels,
    isChannelsFirst: info.dataFormat === "channelsFirst",
    outShape: info.outShape,
  });
}

function windowOf3D(info: tf.backend_util.Conv3DInfo): Window {
  return checked({
    batch: info.batchSize,
    in: [info.inDepth, info.inHeight, info.inWidth],
    out: [info.outDepth, info.outHeight, info.outWidth],
    filter: [info.filterDepth, info.filterHeight, info.filterWidth],
    strides: [info.strideDepth, info.strideHeight, info.strideWidth],
    dilations: [info.dilationDepth, info.dilationHeight, info.dilationWidth],
    pad: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
    inChannels: info.inChannels,
    outChannels: info.outChannels,
    isChannelsFirst: info.dataFormat === "channelsFirst",
    outShape: info.outShape,
  });
}

function checked(window: Window): Window {
  if (window.outShape.some((size) => size < 0)) {
    throw new Error(
      `a window of [${window.filter}] with dilations [${window.dilations}] does not fit an image of [${window.in}]`,
    );
  }
  return window;
}
