/**
 * Without fused multiply-add the kernels compute the same bits in every runtime: each runs this file
 * and compares with one record. With it, no more moves than the products.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { sha256 } from "../../src/core/sha256.ts";
import * as nn from "../../src/nn/nn.ts";
import * as tf from "../../src/tensor/tf.ts";
import { modes, noise, take, useKernels } from "../support/kernels.ts";

/** Numbers from -scale to scale. */
function values(shape: number[], scale = 1): tf.Tensor {
  const size = tf.util.sizeFromShape(shape);
  return tf.tensor(noise(size, size).map((x) => x * scale), shape);
}

/** Positive numbers of all magnitudes. */
const positive = (): tf.Tensor => tf.exp(values([999], 60));

/** Output and gradients one after the other, for the gradient cos(0), cos(1), ... of the output. */
function all(f: (...x: tf.Tensor[]) => tf.Tensor, ...inputs: tf.Tensor[]): tf.Tensor {
  const y = f(...inputs);
  const dy = tf.reshape(tf.cos(tf.range(0, y.size)), y.shape);
  return tf.concat([y, ...tf.grads(f)(inputs, dy)].map((x) => tf.reshape(x, [-1])));
}

type Row = readonly [name: string, bits: string, compute: () => tf.Tensor];

const image = (): tf.Tensor4D => values([2, 9, 8, 5]) as tf.Tensor4D;

/** Where fused multiply-add may change the last bits. */
const PRODUCTS: readonly Row[] = [
  [
    "matMul, packed",
    "a24bc3135ca4615c",
    () => all((a, b) => tf.matMul(a, b), values([65, 300]), values([300, 50])),
  ],
  [
    "matMul, small",
    "dc7feae408770fad",
    () => all((a, b) => tf.matMul(a, b), values([3, 4, 7, 5]), values([3, 4, 5, 6])),
  ],
  [
    "matMul, vector",
    "0f3045b1d7d1548b",
    () => all((a, b) => tf.matMul(a, b), values([1, 700]), values([700, 33])),
  ],
  ["conv2d", "5ee70284f9baeb77", () =>
    all(
      (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, [2, 1], "same"),
      ...[image(), values([3, 3, 5, 7])],
    )],
  ["depthwiseConv2d", "265b3d79318b2ab3", () =>
    all(
      (x, w) => tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "same"),
      ...[image(), values([3, 3, 5, 2])],
    )],
  ["attention", "b4473069cbe047b3", () =>
    all(
      (q, k, v) => nn.attention(q, k, v),
      ...[values([2, 2, 9, 8]), values([2, 2, 11, 8]), values([2, 2, 11, 5])],
    )],
  ["lstm", "9243a1a39bd98922", () =>
    all(
      (x, w_ih, w_hh) => nn.lstm(x, { w_ih, w_hh }).output,
      ...[values([3, 6, 5]), values([28, 5]), values([28, 7])],
    )],
];

/** Where nothing is fused. */
const REST: readonly Row[] = [
  ["exp", "98ec07b01d087a17", () => all(tf.exp, values([999], 80))],
  ["log and log1p", "6621fdc35f90f2fa", () => tf.add(tf.log(positive()), tf.log1p(positive()))],
  ["expm1", "22d99d7193559b64", () => tf.expm1(values([999], 3))],
  ["tanh", "0162d7fc45401fb8", () => all(tf.tanh, values([999], 9))],
  ["sigmoid", "1863ff6e9c2035be", () => all(tf.sigmoid, values([999], 40))],
  ["softplus", "aaccdb3b78657cd3", () => all(tf.softplus, values([999], 30))],
  ["erf", "dad894f3571d741f", () => all(tf.erf, values([999], 4))],
  ["gelu", "dc77e5a119e039d2", () => all(nn.gelu, values([999], 6))],
  [
    "sin and cos",
    "dd7bb44b50719a2c",
    () => tf.add(tf.sin(values([999], 1e7)), tf.cos(values([999], 300))),
  ],
  ["pow", "a172fda85b761cc8", () => all(tf.pow, tf.abs(values([999], 9)), values([1, 999], 5))],
  ["rsqrt and sqrt", "5cd4f994a313b16b", () => tf.add(tf.rsqrt(positive()), tf.sqrt(positive()))],
  [
    "sum and mean",
    "a0ee3b6d23c88834",
    () => tf.add(tf.sum(values([40, 321]), 1), tf.mean(values([77, 40]), 0)),
  ],
  ["cumsum", "0babaf5da75c2780", () => all((x) => tf.cumsum(x, 1), values([5, 301]))],
  ["softmax", "f3ac6ef21d454164", () => all((x) => tf.softmax(x), values([31, 77], 20))],
  ["logSoftmax", "587d85f2ef837f51", () => all((x) => tf.logSoftmax(x), values([31, 77], 20))],
  ["layerNorm", "6a2a923c339777fc", () =>
    all(
      (x, gain, bias) => nn.layerNorm(x, gain, bias),
      ...[values([31, 77]), values([77]), values([77])],
    )],
  [
    "avgPool",
    "63bb13f58097d369",
    () => all((x) => tf.avgPool(x as tf.Tensor4D, 3, 2, "same"), image()),
  ],
  [
    "unsortedSegmentSum",
    "ee6e18a4c7d10947",
    () =>
      tf.unsortedSegmentSum(
        values([99, 5]),
        tf.tensor1d(Array.from({ length: 99 }, (_, i) => i % 7), "int32"),
        7,
      ),
  ],
];

for (const fused of modes) {
  test(`kernels have the recorded bits, ${fused ? "fused: all but products" : "plain"}`, async () => {
    await useKernels({ fused });
    for (const [name, bits, compute] of fused ? REST : [...PRODUCTS, ...REST]) {
      const values = await take(tf.tidy(compute));
      assert.ok(values.every(Number.isFinite), `${name}: not finite`);
      const bytes = new Uint8Array(
        values.buffer as ArrayBuffer,
        values.byteOffset,
        values.byteLength,
      );
      assert.equal((await sha256(bytes.slice())).slice(0, 16), bits, name);
    }
  });
}
