/**
 * The six reference workloads: models, data and losses of training steps, in plain tfjs ops, and for
 * some of them a second time with the functions of `nn`.
 *
 * Shapes, losses and the spread of the initial weights are those of the PyTorch programs that they
 * are compared with; values are drawn from our random numbers.
 */
import { randomStream } from "../src/core/random.ts";
import * as nn from "../src/nn/nn.ts";
import * as tf from "../src/tensor/tf.ts";

/** Parameters by name. */
export type Parameters = Record<string, tf.Variable>;

/** A workload on the current backend. */
export interface Workload {
  readonly parameters: Parameters;
  /** The loss in plain ops. */
  readonly plain: () => tf.Scalar;
  /** The loss with functions of `nn`, where they are another way to write it. */
  readonly fused?: () => tf.Scalar;
}

/** Makes a workload's data and parameters; the same values on every backend. */
export const workloads: Readonly<Record<string, () => Workload>> = {
  mlp,
  dlinear,
  transformer_block: transformerBlock,
  cnn,
  lstm,
  patch_forecaster: patchForecaster,
};

function draw(label: string, shape: number[]): tf.Tensor {
  const values = randomStream(0, label).normal(new Float32Array(tf.util.sizeFromShape(shape)));
  return tf.tensor(values, shape);
}

/** Uniform within 1 / sqrt(inputs), as torch's layers begin. */
function uniform(name: string, shape: number[], inputs: number): tf.Variable {
  const values = new Float32Array(tf.util.sizeFromShape(shape));
  const bound = 1 / Math.sqrt(inputs);
  return tf.tidy(() =>
    tf.variable(tf.tensor(randomStream(1, name).uniform(values, -bound, bound), shape))
  );
}

function linearVariables(name: string, inputs: number, outputs: number, bias = true): Parameters {
  return {
    [`${name}.weight`]: uniform(`${name}.weight`, [inputs, outputs], inputs),
    ...bias ? { [`${name}.bias`]: uniform(`${name}.bias`, [outputs], inputs) } : {},
  };
}

function meanSquares(y: tf.Tensor, target: tf.Tensor): tf.Scalar {
  return tf.mean(tf.square(tf.sub(y, target)));
}

/** A linear map in plain ops, of rows. */
function plainLinear(v: Parameters, name: string, x: tf.Tensor): tf.Tensor {
  const y = tf.matMul(x as tf.Tensor2D, v[`${name}.weight`] as tf.Tensor as tf.Tensor2D);
  return `${name}.bias` in v ? tf.add(y, v[`${name}.bias`]) : y;
}

function nnLinear(v: Parameters, name: string, x: tf.Tensor): tf.Tensor {
  return nn.linear(x, v[`${name}.weight`], v[`${name}.bias`]);
}

type Linear = typeof plainLinear;

/** 64 -> 128 -> 128 -> 10, batch 64. */
function mlp(): Workload {
  const [x, y] = [draw("mlp x", [64, 64]), draw("mlp y", [64, 10])];
  const parameters = {
    ...linearVariables("0", 64, 128),
    ...linearVariables("1", 128, 128),
    ...linearVariables("2", 128, 10),
  };
  const loss = (linear: Linear) => () => {
    let h: tf.Tensor = x;
    for (const name of ["0", "1"]) h = tf.relu(linear(parameters, name, h));
    return meanSquares(linear(parameters, "2", h), y);
  };
  return { parameters, plain: loss(plainLinear), fused: loss(nnLinear) };
}

/** 336 -> 96 steps of 7 channels, batch 32. */
function dlinear(): Workload {
  const [batch, length, channels, horizon, half] = [32, 336, 7, 96, 12];
  const [x, y] = [
    draw("dlinear x", [batch, length, channels]),
    draw("dlinear y", [batch, horizon, channels]),
  ];
  const parameters = {
    ...linearVariables("seasonal", length, horizon),
    ...linearVariables("trend", length, horizon),
  };
  const rowsOf = (x: tf.Tensor): tf.Tensor =>
    tf.reshape(tf.transpose(x, [0, 2, 1]), [batch * channels, length]);
  const loss = (linear: Linear, average: (rows: tf.Tensor) => tf.Tensor) => () => {
    const trend = average(x);
    const rows = rowsOf(x);
    const out = tf.add(
      linear(parameters, "seasonal", tf.sub(rows, trend)),
      linear(parameters, "trend", trend),
    );
    return meanSquares(tf.transpose(tf.reshape(out, [batch, channels, horizon]), [0, 2, 1]), y);
  };
  const pooled = (x: tf.Tensor): tf.Tensor => {
    const rows = rowsOf(x);
    const first = tf.tile(tf.slice(rows, [0, 0], [-1, 1]), [1, half]);
    const last = tf.tile(tf.slice(rows, [0, length - 1], [-1, 1]), [1, half]);
    const image = tf.reshape(tf.concat([first, rows, last], 1), [-1, 1, length + 2 * half, 1]);
    const trend = tf.avgPool(image as tf.Tensor4D, [1, 2 * half + 1], 1, "valid");
    return tf.reshape(trend, [batch * channels, length]);
  };
  return {
    parameters,
    plain: loss(plainLinear, pooled),
    fused: loss(nnLinear, (x) => rowsOf(nn.movingAverage(x, 2 * half + 1))),
  };
}

function blockVariables(name: string, d: number, ff: number): Parameters {
  const norm = (key: string): Parameters => ({
    [`${key}.gain`]: tf.tidy(() => tf.variable(tf.ones([d]))),
    [`${key}.bias`]: tf.tidy(() => tf.variable(tf.zeros([d]))),
  });
  return {
    ...norm(`${name}n1`),
    ...norm(`${name}n2`),
    ...linearVariables(`${name}qkv`, d, 3 * d, false),
    ...linearVariables(`${name}out`, d, d, false),
    ...linearVariables(`${name}up`, d, ff),
    ...linearVariables(`${name}down`, ff, d),
  };
}

/** A pre-norm block in plain ops: [batch, time, d] to the same. */
function plainBlock(v: Parameters, name: string, x: tf.Tensor, heads: number): tf.Tensor {
  const [batch, time, d] = x.shape;
  const rows = tf.reshape(x, [batch * time, d]);
  const norm = (key: string, x: tf.Tensor): tf.Tensor => {
    const centered = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.square(centered), -1, true);
    const normed = tf.mul(centered, tf.rsqrt(tf.add(variance, 1e-5)));
    return tf.add(tf.mul(normed, v[`${key}.gain`]), v[`${key}.bias`]);
  };
  const qkv = plainLinear(v, `${name}qkv`, norm(`${name}n1`, rows));
  const parts = tf.split(tf.reshape(qkv, [batch, time, 3, heads, d / heads]), 3, 2);
  const [q, k, value] = parts.map((part) =>
    tf.transpose(tf.reshape(part, [batch, time, heads, d / heads]), [0, 2, 1, 3])
  );
  const scores = tf.div(tf.matMul(q, k, false, true), Math.sqrt(d / heads));
  const mixed = tf.transpose(tf.matMul(tf.softmax(scores), value), [0, 2, 1, 3]);
  const h = tf.add(rows, plainLinear(v, `${name}out`, tf.reshape(mixed, [batch * time, d])));
  const wide = tf.relu(plainLinear(v, `${name}up`, norm(`${name}n2`, h)));
  return tf.reshape(tf.add(h, plainLinear(v, `${name}down`, wide)), [batch, time, d]);
}

function nnBlock(v: Parameters, name: string, x: tf.Tensor, heads: number): tf.Tensor {
  const [batch, time, d] = x.shape;
  const norm = (key: string, x: tf.Tensor) => nn.layerNorm(x, v[`${key}.gain`], v[`${key}.bias`]);
  const qkv = nnLinear(v, `${name}qkv`, norm(`${name}n1`, x));
  const heads5 = tf.transpose(tf.reshape(qkv, [batch, time, 3, heads, d / heads]), [2, 0, 3, 1, 4]);
  const [q, k, value] = tf.unstack(heads5);
  const mixed = tf.transpose(nn.attention(q, k, value), [0, 2, 1, 3]);
  const h = tf.add(x, nnLinear(v, `${name}out`, tf.reshape(mixed, [batch, time, d])));
  const wide = tf.relu(nnLinear(v, `${name}up`, norm(`${name}n2`, h)));
  return tf.add(h, nnLinear(v, `${name}down`, wide));
}

/** Width 64, 4 heads, feed-forward 256, on [32, 42, 64]. */
function transformerBlock(): Workload {
  const [x, y] = [draw("block x", [32, 42, 64]), draw("block y", [32, 42, 64])];
  const parameters = blockVariables("", 64, 256);
  return {
    parameters,
    plain: () => meanSquares(plainBlock(parameters, "", x, 4), y),
    fused: () => meanSquares(nnBlock(parameters, "", x, 4), y),
  };
}

/** Two 3x3 convolutions (16, 32), a pooling and a linear map to 10 classes, on [32, 28, 28, 1]. */
function cnn(): Workload {
  const x = draw("cnn x", [32, 28, 28, 1]) as tf.Tensor4D;
  const labels = Int32Array.from({ length: 32 }, (_, i) => (i * 7) % 10);
  const [target, integers] = [tf.oneHot(labels, 10), tf.tensor1d(labels, "int32")];
  const parameters: Parameters = {
    "conv1.weight": uniform("conv1.weight", [3, 3, 1, 16], 9),
    "conv1.bias": uniform("conv1.bias", [16], 9),
    "conv2.weight": uniform("conv2.weight", [3, 3, 16, 32], 144),
    "conv2.bias": uniform("conv2.bias", [32], 144),
    ...linearVariables("head", 11 * 11 * 32, 10),
  };
  const convolve = (name: string, x: tf.Tensor4D): tf.Tensor4D => {
    const filter = parameters[`${name}.weight`] as tf.Tensor as tf.Tensor4D;
    return tf.relu(tf.add(tf.conv2d(x, filter, 1, "valid"), parameters[`${name}.bias`]));
  };
  const scores = (linear: Linear): tf.Tensor => {
    const h = convolve("conv2", tf.maxPool(convolve("conv1", x), 2, 2, "valid"));
    return linear(parameters, "head", tf.reshape(h, [32, -1]));
  };
  return {
    parameters,
    plain: () => tf.losses.softmaxCrossEntropy(target, scores(plainLinear)) as tf.Scalar,
    fused: () => tf.mean(nn.softmaxCrossEntropy(scores(nnLinear), integers)),
  };
}

/** 7 -> 64 hidden over 24 steps, batch 32, and a linear map of the last state to 4. */
function lstm(): Workload {
  const [batch, time, inputs, hidden] = [32, 24, 7, 64];
  const [x, y] = [draw("lstm x", [batch, time, inputs]), draw("lstm y", [batch, 4])];
  const parameters: Parameters = {
    w_ih: uniform("w_ih", [4 * hidden, inputs], hidden),
    w_hh: uniform("w_hh", [4 * hidden, hidden], hidden),
    b_ih: uniform("b_ih", [4 * hidden], hidden),
    b_hh: uniform("b_hh", [4 * hidden], hidden),
    ...linearVariables("head", hidden, 4),
  };
  const { w_ih, w_hh, b_ih, b_hh } = parameters as Record<string, tf.Tensor>;
  const plain = (): tf.Scalar => {
    const rows = tf.matMul(tf.reshape(x, [batch * time, inputs]), w_ih, false, true);
    const sums = tf.reshape(tf.add(rows, tf.add(b_ih, b_hh)), [batch, time, 4 * hidden]);
    let [h, c]: tf.Tensor[] = [tf.zeros([batch, hidden]), tf.zeros([batch, hidden])];
    for (const sum of tf.unstack(sums, 1)) {
      const [i, f, g, o] = tf.split(tf.add(sum, tf.matMul(h, w_hh, false, true)), 4, 1);
      c = tf.add(tf.mul(tf.sigmoid(f), c), tf.mul(tf.sigmoid(i), tf.tanh(g)));
      h = tf.mul(tf.sigmoid(o), tf.tanh(c));
    }
    return meanSquares(plainLinear(parameters, "head", h), y);
  };
  const fused = (): tf.Scalar => {
    const { h } = nn.lstm(x, { w_ih, w_hh, b_ih, b_hh });
    return meanSquares(nnLinear(parameters, "head", h), y);
  };
  return { parameters, plain, fused };
}

/** Patches of 16 every 8 of 336 steps, width 16, 4 heads, feed-forward 128, 3 blocks, 7 channels, batch 32. */
function patchForecaster(): Workload {
  const [batch, length, channels, horizon, stride, d, depth] = [32, 336, 7, 96, 8, 16, 3];
  const [rows, patches] = [batch * channels, length / stride - 1];
  const [x, y] = [
    draw("patch x", [batch, length, channels]),
    draw("patch y", [batch, horizon, channels]),
  ];
  const parameters: Parameters = {
    ...linearVariables("embed", 2 * stride, d),
    position: tf.tidy(() => tf.variable(tf.zeros([patches, d]))),
    ...linearVariables("head", patches * d, horizon),
  };
  for (let i = 0; i < depth; i++) Object.assign(parameters, blockVariables(`${i}.`, d, 128));
  const loss = (linear: Linear, block: typeof plainBlock) => () => {
    // A patch is two neighbouring pieces of `stride` steps.
    const series = tf.reshape(tf.transpose(x, [0, 2, 1]), [rows, patches + 1, stride]);
    const [first, second] = [0, 1].map((from) =>
      tf.slice(series, [0, from, 0], [rows, patches, stride])
    );
    const flat = tf.reshape(tf.concat([first, second], 2), [rows * patches, 2 * stride]);
    const embedded = tf.reshape(linear(parameters, "embed", flat), [rows, patches, d]);
    let h: tf.Tensor = tf.add(embedded, parameters.position);
    for (let i = 0; i < depth; i++) h = block(parameters, `${i}.`, h, 4);
    const out = linear(parameters, "head", tf.reshape(h, [rows, patches * d]));
    return meanSquares(tf.transpose(tf.reshape(out, [batch, channels, horizon]), [0, 2, 1]), y);
  };
  return { parameters, plain: loss(plainLinear, plainBlock), fused: loss(nnLinear, nnBlock) };
}
