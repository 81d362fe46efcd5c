/** Layers of tfjs-layers with convolutions and poolings, trained on wasm as on the cpu backend. */
import * as tf from "../../src/tensor/tf.ts";
import { type Family, testFamilies } from "../support/layers.ts";

type Options = Parameters<typeof tf.layers.conv2d>[0];

const image = { inputShape: [9, 8, 2] };
/** The cpu backend samples up slowly. */
const small = { inputShape: [6, 5, 2] };
const base = { filters: 3, kernelSize: 3, activation: "relu" as const };
const cube = { inputShape: [5, 6, 5, 2] };

const FAMILIES: readonly Family[] = [
  ["conv1d", () => [tf.layers.conv1d({ ...base, inputShape: [12, 3], strides: 2 })]],
  ["conv1d, dilated", () => [
    tf.layers.conv1d({ ...base, inputShape: [12, 3], padding: "same", dilationRate: 3 }),
  ]],
  ["conv2d", () => [
    tf.layers.conv2d({ ...base, ...image, padding: "same" }),
    tf.layers.conv2d({ ...base, strides: 2, activation: "tanh" }),
  ]],
  ["conv2d, dilated", () => [
    tf.layers.conv2d({ ...base, ...image, dilationRate: 2, activation: undefined }),
    tf.layers.conv2d({ ...base, dilationRate: [2, 1], activation: "sigmoid", useBias: false }),
  ]],
  ["conv2d, channels first", () => [
    tf.layers.conv2d({ ...base, inputShape: [2, 9, 8], dataFormat: "channelsFirst" }),
  ]],
  ["conv2dTranspose", () => [
    tf.layers.conv2dTranspose({ ...base, ...image, strides: 2, padding: "same" } as Options),
  ]],
  ["conv3d", () => [tf.layers.conv3d({ ...base, ...cube, strides: 2 })]],
  [
    "conv3dTranspose",
    () => [tf.layers.conv3dTranspose({ ...base, ...cube, strides: 2 } as Options)],
  ],
  ["depthwiseConv2d", () => [
    tf.layers.depthwiseConv2d({ ...image, kernelSize: 3, depthMultiplier: 2, activation: "relu" }),
  ]],
  ["separableConv2d, dilated", () => [
    tf.layers.separableConv2d({ ...base, ...image, padding: "same", dilationRate: 2 }),
  ]],
  ["separableConv2d", () => [tf.layers.separableConv2d({ ...base, ...image, padding: "same" })]],
  ["maxPooling2d", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.maxPooling2d({ poolSize: 2 }),
  ]],
  ["averagePooling2d, same", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.averagePooling2d({ poolSize: 3, strides: 2, padding: "same" }),
  ]],
  ["maxPooling1d and averagePooling1d", () => [
    tf.layers.conv1d({ ...base, inputShape: [16, 3] }),
    tf.layers.maxPooling1d({ poolSize: 2 }),
    tf.layers.averagePooling1d({ poolSize: 2, padding: "same" }),
  ]],
  ["maxPooling3d and averagePooling3d", () => [
    tf.layers.conv3d({ ...base, ...cube, padding: "same" }),
    tf.layers.maxPooling3d(
      { poolSize: 2, strides: 1 } as Parameters<typeof tf.layers.maxPooling3d>[0],
    ),
    tf.layers.averagePooling3d(
      { poolSize: 2, padding: "same" } as Parameters<
        typeof tf.layers.averagePooling3d
      >[0],
    ),
  ]],
  ["conv2dTranspose, valid, two of them", () => [
    tf.layers.conv2dTranspose({ ...base, inputShape: [3, 4, 2], strides: [1, 2] } as Options),
    tf.layers.conv2dTranspose({ ...base, filters: 1, useBias: false } as Options),
  ]],
  ["conv2dTranspose, channels first", () => [
    tf.layers.conv2dTranspose(
      { ...base, inputShape: [2, 5, 4], strides: 2, dataFormat: "channelsFirst" } as Options,
    ),
  ]],
  ["conv3dTranspose, same", () => [
    tf.layers.conv3d({ ...base, ...cube, filters: 2, activation: "tanh" }),
    tf.layers.conv3dTranspose({ ...base, filters: 2, padding: "same" } as Options),
  ]],
  ["depthwiseConv2d, strides, same", () => [
    tf.layers.depthwiseConv2d({ ...image, kernelSize: [3, 2], strides: 2, padding: "same" }),
    tf.layers.depthwiseConv2d({ kernelSize: 2, activation: "tanh", useBias: false }),
  ]],
  ["depthwiseConv2d, dilated", () => [
    tf.layers.depthwiseConv2d({ ...image, kernelSize: 3, dilationRate: 2 }),
  ]],
  ["separableConv2d, channels first", () => [
    tf.layers.separableConv2d({ ...base, inputShape: [2, 9, 8], dataFormat: "channelsFirst" }),
  ]],
  ["conv1d, channels first", () => [
    tf.layers.conv1d({ ...base, inputShape: [3, 12], dataFormat: "channelsFirst" } as Options),
  ]],
  ["separableConv2d, strides, multiplier", () => [
    tf.layers.separableConv2d({ ...base, ...image, strides: 2, depthMultiplier: 3 }),
  ]],
  ["maxPooling2d, same, channels first", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.permute({ dims: [3, 1, 2] }),
    tf.layers.maxPooling2d(
      { poolSize: 3, strides: 2, padding: "same", dataFormat: "channelsFirst" },
    ),
  ]],
  ["averagePooling2d", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.averagePooling2d({ poolSize: [2, 3], strides: [1, 2] }),
  ]],
  ["globalMaxPooling2d", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.globalMaxPooling2d({}),
  ]],
  ["globalMaxPooling1d", () => [
    tf.layers.conv1d({ ...base, inputShape: [12, 3] }),
    tf.layers.globalMaxPooling1d({}),
  ]],
  ["globalAveragePooling1d", () => [
    tf.layers.conv1d({ ...base, inputShape: [12, 3] }),
    tf.layers.globalAveragePooling1d({}),
  ]],
  ["upSampling2d", () => [
    tf.layers.conv2d({ ...base, ...small }),
    tf.layers.upSampling2d({ size: [2, 3] }),
    tf.layers.conv2d({ ...base, strides: 2 }),
  ]],
  ["upSampling2d, bilinear", () => [
    tf.layers.conv2d({ ...base, ...small }),
    tf.layers.upSampling2d({ size: [2, 2], interpolation: "bilinear" }),
    tf.layers.conv2d({ ...base, strides: 3 }),
  ]],
  ["zeroPadding2d and cropping2D", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.zeroPadding2d({ padding: [[1, 2], [0, 3]] }),
    tf.layers.conv2d(base),
    tf.layers.cropping2D({ cropping: [[1, 0], [2, 1]] }),
  ]],
  ["zeroPadding2d and cropping2D, channels first", () => [
    tf.layers.conv2d({ ...base, inputShape: [2, 9, 8], dataFormat: "channelsFirst" }),
    tf.layers.zeroPadding2d({ padding: 1, dataFormat: "channelsFirst" }),
    tf.layers.cropping2D({ cropping: [[2, 1], [0, 3]], dataFormat: "channelsFirst" }),
  ]],
  ["globalAveragePooling2d", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.globalAveragePooling2d({}),
  ]],
];

testFamilies(FAMILIES);
