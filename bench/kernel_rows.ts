/** The kernels that are measured, and their shapes: products of the reference workloads and common ops. */
import * as tf from "../src/tensor/tf.ts";

/** One operation to time. */
export interface Row {
  readonly name: string;
  /** Floating-point operations of a product, or elements of anything else. */
  readonly work: number;
  readonly isProduct: boolean;
  /** Makes the inputs, and answers the operation to time, which disposes its result. */
  prepare(): () => void;
}

let current: { readonly row: Row; readonly run: () => void } | undefined;

/** The row's operation; the inputs of the last other one are disposed. */
export function prepared(row: Row): () => void {
  if (current?.row === row) return current.run;
  if (current !== undefined) tf.engine().endScope();
  tf.engine().startScope(row.name);
  current = { row, run: row.prepare() };
  return current.run;
}

/** Products [batch, m, k, n, transposeA, transposeB] of the six reference workloads. */
const WORKLOADS: readonly (readonly [string, number, number, number, number, boolean, boolean])[] =
  [
    ["mlp forward", 1, 64, 64, 128, false, false],
    ["mlp weight gradient", 1, 128, 64, 128, true, false],
    ["mlp input gradient", 1, 64, 128, 128, false, true],
    ["dlinear forward", 1, 224, 336, 96, false, false],
    ["dlinear weight gradient", 1, 336, 224, 96, true, false],
    ["dlinear input gradient", 1, 224, 96, 336, false, true],
    ["block qkv", 1, 1344, 64, 192, false, false],
    ["block qkv weight gradient", 1, 64, 1344, 192, true, false],
    ["block feed-forward", 1, 1344, 64, 256, false, false],
    ["block feed-forward gradient", 1, 1344, 256, 64, false, true],
    ["block attention scores", 128, 42, 16, 42, false, true],
    ["block attention values", 128, 42, 42, 16, false, false],
    ["block attention gradient", 128, 42, 42, 16, true, false],
    ["cnn head", 1, 32, 3872, 10, false, false],
    ["cnn head weight gradient", 1, 3872, 32, 10, true, false],
    ["lstm gates", 1, 32, 64, 256, false, false],
    ["lstm weight gradient", 1, 64, 32, 256, true, false],
    ["patch qkv", 1, 9184, 16, 48, false, false],
    ["patch qkv weight gradient", 1, 16, 9184, 48, true, false],
    ["patch feed-forward", 1, 9184, 16, 128, false, false],
    ["patch feed-forward gradient", 1, 9184, 128, 16, false, true],
    ["patch attention scores", 896, 41, 4, 41, false, true],
    ["patch attention values", 896, 41, 41, 4, false, false],
    ["patch head", 1, 224, 656, 96, false, false],
  ];

function product(
  name: string,
  batch: number,
  m: number,
  k: number,
  n: number,
  transposeA: boolean,
  transposeB: boolean,
): Row {
  const letters = `${transposeA ? "T" : "N"}${transposeB ? "T" : "N"}`;
  return {
    name: `${name} ${batch > 1 ? `${batch}x` : ""}${m}x${k}x${n} ${letters}`,
    work: 2 * batch * m * k * n,
    isProduct: true,
    prepare: () => {
      const a = tf.randomNormal([batch, ...transposeA ? [k, m] : [m, k]]);
      const b = tf.randomNormal([batch, ...transposeB ? [n, k] : [k, n]]);
      return () => tf.matMul(a, b, transposeA, transposeB).dispose();
    },
  };
}

/** Image [n, h, w, c], filter [h, w, out], stride, padding: the cnn workload and common layers. */
type ConvolutionRow = readonly [
  name: string,
  image: [number, number, number, number],
  filter: [number, number, number],
  stride: number,
  pad: "same" | "valid",
];
const CONVOLUTIONS: readonly ConvolutionRow[] = [
  ["cnn conv1", [32, 28, 28, 1], [3, 3, 16], 1, "valid"],
  ["cnn conv2", [32, 13, 13, 16], [3, 3, 32], 1, "valid"],
  ["conv 3x3", [8, 28, 28, 64], [3, 3, 64], 1, "same"],
  ["conv 3x3 stride 2", [8, 28, 28, 64], [3, 3, 128], 2, "same"],
  ["conv 7x7 of rgb", [4, 112, 112, 3], [7, 7, 32], 2, "same"],
  ["conv 1x1", [8, 28, 28, 64], [1, 1, 128], 1, "same"],
];
const DEPTHWISE: readonly ConvolutionRow[] = [
  ["depthwise 3x3", [8, 28, 28, 64], [3, 3, 1], 1, "same"],
  ["depthwise 3x3 stride 2", [8, 56, 56, 32], [3, 3, 1], 2, "same"],
  ["depthwise 3x3 by 2", [8, 28, 28, 32], [3, 3, 2], 1, "same"],
];

/** The forward product of a convolution, or the gradient of its filter or its input. */
function convolution(
  [name, image, [h, w, out], strides, pad]: ConvolutionRow,
  part: "forward" | "filter gradient" | "input gradient",
  isDepthwise: boolean,
): Row {
  const filterShape: [number, number, number, number] = [h, w, image[3], out];
  const info = tf.backend_util.computeConv2DInfo(
    ...[image, filterShape, strides, 1, pad, undefined, isDepthwise] as const,
  );
  const kernel = {
    forward: isDepthwise ? "DepthwiseConv2dNative" : "Conv2D",
    "filter gradient": isDepthwise ? "DepthwiseConv2dNativeBackpropFilter" : "Conv2DBackpropFilter",
    "input gradient": isDepthwise ? "DepthwiseConv2dNativeBackpropInput" : "Conv2DBackpropInput",
  }[part];
  const attributes = {
    strides: [strides, strides],
    dilations: [1, 1],
    pad,
    dataFormat: "NHWC",
    filterShape,
    inputShape: image,
  };
  return {
    name: `${name} ${part} [${image}] ${h}x${w}x${out}`,
    work: 2 * tf.util.sizeFromShape(info.outShape) * h * w * (isDepthwise ? 1 : image[3]),
    isProduct: true,
    prepare: () => {
      const [x, filter] = [tf.randomNormal(image), tf.randomNormal(filterShape)];
      const dy = tf.randomNormal(info.outShape);
      const inputs: tf.NamedTensorMap = {
        forward: { x, filter },
        "filter gradient": { x, dy },
        "input gradient": { dy, filter },
      }[part];
      return () => (tf.engine().runKernel(kernel, inputs, attributes) as tf.Tensor).dispose();
    },
  };
}

function elementwise(
  name: string,
  shape: number[],
  op: (x: tf.Tensor) => tf.Tensor | tf.Tensor[],
): Row {
  return {
    name: `${name} [${shape}]`,
    work: tf.util.sizeFromShape(shape),
    isProduct: false,
    prepare: () => {
      const x = tf.randomUniform(shape, 0.1, 2);
      return () => tf.dispose(tf.tidy(() => op(x)));
    },
  };
}

/** The gradient of a pooling with stride 2. */
function poolGradient(
  name: string,
  shape: [number, number, number, number],
  filterSize: number,
  kernel: string,
): Row {
  const pad = filterSize === 2 ? "valid" : "same";
  return {
    name: `${name} [${shape}]`,
    work: tf.util.sizeFromShape(shape),
    isProduct: false,
    prepare: () => {
      const input = tf.randomNormal<tf.Rank.R4>(shape);
      const output = tf.maxPool(input, filterSize, 2, pad);
      const inputs = { dy: output, input, output };
      const attributes = { filterSize, strides: 2, pad };
      return () => (tf.engine().runKernel(kernel, inputs, attributes) as tf.Tensor).dispose();
    },
  };
}

/** An op of `shape` floats and int32 indices below `limit`, one a row of the shape or `limit` of them. */
function byIndex(
  name: string,
  shape: [number, number],
  limit: number,
  op: (x: tf.Tensor, ids: tf.Tensor1D) => tf.Tensor,
): Row {
  const isGather = name.startsWith("gather");
  const [count, below] = isGather ? [limit, shape[0]] : [shape[0], limit];
  return {
    name: `${name} [${shape}], ${count} below ${below}`,
    work: name === "oneHot" ? count * limit : isGather ? count * shape[1] : shape[0] * shape[1],
    isProduct: false,
    prepare: () => {
      const x = tf.randomUniform(shape);
      const ids = tf.randomUniform([count], 0, below, "int32") as tf.Tensor1D;
      return () => op(x, ids).dispose();
    },
  };
}

function batchNorm(x: tf.Tensor): tf.Tensor {
  const one = tf.ones([x.shape[x.rank - 1]]) as tf.Tensor1D;
  return tf.batchNorm(x, one, one, one, one);
}

const transposes: readonly (readonly [boolean, boolean])[] = [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
];

const row = (shape: number[]): tf.Tensor => tf.ones(shape);
const BIG = [512, 512];
/** Every row. */
export const ROWS: readonly Row[] = [
  ...[256, 512, 1024].flatMap((n) =>
    transposes.map(([a, b]) => product("matMul", 1, n, n, n, a, b))
  ),
  ...WORKLOADS.map((shape) => product(...shape)),
  ...[false, true].flatMap((isDepthwise) =>
    (isDepthwise ? DEPTHWISE : CONVOLUTIONS).flatMap((shape) =>
      (["forward", "filter gradient", "input gradient"] as const).map((part) =>
        convolution(shape, part, isDepthwise)
      )
    )
  ),
  elementwise("add itself", BIG, (x) => tf.add(x, x)),
  elementwise("add scalar", BIG, (x) => tf.add(x, 1)),
  elementwise("add row", BIG, (x) => tf.add(x, row([512]))),
  elementwise("mul column", BIG, (x) => tf.mul(x, row([512, 1]))),
  elementwise("add row of 7", [32, 336, 7], (x) => tf.add(x, row([7]))),
  elementwise("greater scalar", BIG, (x) => tf.greater(x, 1)),
  elementwise("relu", BIG, tf.relu),
  elementwise("exp", BIG, tf.exp),
  elementwise("log", BIG, tf.log),
  elementwise("tanh", BIG, tf.tanh),
  elementwise("sigmoid", BIG, tf.sigmoid),
  elementwise("softplus", BIG, tf.softplus),
  elementwise("erf", BIG, tf.erf),
  elementwise("sin", BIG, tf.sin),
  elementwise("sqrt", BIG, tf.sqrt),
  elementwise("pow 3", BIG, (x) => tf.pow(x, 3)),
  elementwise("sum", BIG, (x) => tf.sum(x)),
  elementwise("sum axis 0", BIG, (x) => tf.sum(x, 0)),
  elementwise("sum axis 1", BIG, (x) => tf.sum(x, 1)),
  elementwise("sum axes 0 and 1", [32, 42, 64], (x) => tf.sum(x, [0, 1])),
  elementwise("mean axis 1", [32, 336, 7], (x) => tf.mean(x, 1)),
  elementwise("max axis 1", BIG, (x) => tf.max(x, 1)),
  elementwise("softmax", [128, 42, 42], (x) => tf.softmax(x)),
  elementwise("transpose", BIG, (x) => tf.transpose(x)),
  elementwise("transpose 0213", [32, 42, 4, 16], (x) => tf.transpose(x, [0, 2, 1, 3])),
  elementwise("transpose 021", [32, 336, 7], (x) => tf.transpose(x, [0, 2, 1])),
  elementwise("split 5-D", [32, 42, 3, 4, 16], (x) => tf.split(x, 3, 2)),
  elementwise("concat", BIG, (x) => tf.concat([x, x], 1)),
  elementwise("slice", BIG, (x) => tf.slice(x, [0, 100], [512, 300])),
  elementwise("pad", [32, 28, 28, 16], (x) => tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])),
  elementwise("maxPool 2x2", [32, 26, 26, 16], (x) => tf.maxPool(x as tf.Tensor4D, 2, 2, "valid")),
  elementwise("maxPool 3x3", [8, 56, 56, 64], (x) => tf.maxPool(x as tf.Tensor4D, 3, 2, "same")),
  elementwise("avgPool 2x2", [8, 56, 56, 64], (x) => tf.avgPool(x as tf.Tensor4D, 2, 2, "valid")),
  poolGradient("MaxPoolGrad 2x2", [32, 26, 26, 16], 2, "MaxPoolGrad"),
  poolGradient("MaxPoolGrad 3x3", [8, 56, 56, 64], 3, "MaxPoolGrad"),
  poolGradient("AvgPoolGrad 2x2", [8, 56, 56, 64], 2, "AvgPoolGrad"),
  elementwise(
    "dilation2d 3x3",
    [8, 28, 28, 32],
    (x) => tf.dilation2d(x as tf.Tensor4D, tf.ones([3, 3, 32]), 1, "same"),
  ),
  elementwise(
    "spaceToBatch",
    [8, 28, 28, 32],
    (x) => tf.spaceToBatchND(x, [2, 2], [[0, 0], [0, 0]]),
  ),
  elementwise(
    "batchToSpace",
    [32, 14, 14, 32],
    (x) => tf.batchToSpaceND(x, [2, 2], [[0, 0], [0, 0]]),
  ),
  elementwise("depthToSpace", [8, 28, 28, 32], (x) => tf.depthToSpace(x as tf.Tensor4D, 2)),
  byIndex("gather rows", [1000, 64], 1344, (x, ids) => tf.gather(x, ids)),
  byIndex("gather columns", [512, 512], 512, (x, ids) => tf.gather(x, ids, 1)),
  byIndex("unsortedSegmentSum", [1344, 64], 1000, (x, ids) => tf.unsortedSegmentSum(x, ids, 1000)),
  byIndex("unsortedSegmentSum of few", [4096, 64], 8, (x, ids) => tf.unsortedSegmentSum(x, ids, 8)),
  byIndex("oneHot", [1344, 1], 512, (_, ids) => tf.oneHot(ids, 512)),
  elementwise("cumsum axis 1", BIG, (x) => tf.cumsum(x, 1)),
  elementwise("cumsum axis 0", BIG, (x) => tf.cumsum(x, 0)),
  elementwise("batchNorm", [32, 16, 16, 32], (x) => batchNorm(x)),
  elementwise("batchNorm gradient", [32, 16, 16, 32], (x) => tf.grad(batchNorm)(x, x)),
  elementwise("tile", BIG, (x) => tf.tile(x, [2, 2])),
  elementwise("reverse", BIG, (x) => tf.reverse(x, 1)),
  elementwise("stridedSlice", BIG, (x) => tf.stridedSlice(x, [0, 0], BIG, [2, 2])),
  elementwise("unstack", BIG, (x) => tf.unstack(x, 0)),
  elementwise("clip", BIG, (x) => tf.clipByValue(x, 0.5, 1)),
  elementwise("rfft", [224, 336], (x) => tf.spectral.rfft(x)),
  elementwise("einsum bhqd,bhkd", [32, 4, 42, 16], (x) => tf.einsum("bhqd,bhkd->bhqk", x, x)),
  elementwise("add of 64", [64], (x) => tf.add(x, x)),
];
