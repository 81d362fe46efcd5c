/** Models and data for workers_bench.ts; every worker imports this module too. */
import * as nn from "../src/nn/nn.ts";
import { ArrayDataset } from "../src/data/array_dataset.ts";
import { registerDataset } from "../src/data/registry.ts";
import { randomStream } from "../src/core/random.ts";
import { registerModel } from "../src/model/registry.ts";
import "../src/model/models.ts";
import * as tf from "../src/tensor/tf.ts";

/** A pre-norm transformer block, width 64, 4 heads, feed-forward 256. */
registerModel("TransformerBlock", (_, { random }) => {
  const [d, heads, wide] = [64, 4, 256];
  const uniform = (name: string, shape: number[]): tf.Variable => {
    const values = new Float32Array(tf.util.sizeFromShape(shape));
    const bound = 1 / Math.sqrt(shape[0]);
    return tf.tidy(() =>
      tf.variable(tf.tensor(random.fork(name).uniform(values, -bound, bound), shape))
    );
  };
  const parameters: Record<string, tf.Variable> = {
    qkv: uniform("qkv", [d, 3 * d]),
    out: uniform("out", [d, d]),
    "up.weight": uniform("up.weight", [d, wide]),
    "up.bias": uniform("up.bias", [wide]),
    "down.weight": uniform("down.weight", [wide, d]),
    "down.bias": uniform("down.bias", [d]),
  };
  for (const norm of ["norm1", "norm2"]) {
    parameters[`${norm}.gain`] = tf.tidy(() => tf.variable(tf.ones([d])));
    parameters[`${norm}.bias`] = tf.tidy(() => tf.variable(tf.zeros([d])));
  }
  const v = parameters;
  return {
    parameters,
    forward({ inputs }) {
      const [batch, time] = inputs.shape;
      const norm = (key: string, x: tf.Tensor) =>
        nn.layerNorm(x, v[`${key}.gain`], v[`${key}.bias`]);
      const qkv = nn.linear(norm("norm1", inputs), v.qkv);
      const split = tf.reshape(qkv, [batch, time, 3, heads, d / heads]);
      const [q, k, value] = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]));
      const mixed = tf.transpose(nn.attention(q, k, value), [0, 2, 1, 3]);
      const h = tf.add(inputs, nn.linear(tf.reshape(mixed, [batch, time, d]), v.out));
      const up = tf.relu(nn.linear(norm("norm2", h), v["up.weight"], v["up.bias"]));
      return tf.add(h, nn.linear(up, v["down.weight"], v["down.bias"]));
    },
  };
});

/** `size` parameters that cost next to nothing to differentiate. */
registerModel<{ size: number }>("Many", ({ size }) => {
  const weight = tf.tidy(() => tf.variable(tf.zeros([size / 100, 100])));
  return {
    parameters: { weight },
    forward: ({ inputs }) => tf.mul(inputs, tf.mean(weight)),
  };
});

/** Drawn inputs and targets of a shape, without the axis of the samples. */
registerDataset("Drawn", ({ inputs, targets, samples }: Record<string, unknown>) => {
  const field = (name: string, shape: number[]) => {
    const full = [samples as number, ...shape];
    const values = new Float32Array(full.reduce((a, b) => a * b, 1));
    return { data: randomStream(0, name).normal(values), shape: full };
  };
  const train = new ArrayDataset({
    inputs: field("inputs", inputs as number[]),
    targets: field("targets", targets as number[]),
  });
  return { train };
});
