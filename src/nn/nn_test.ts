import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertNear, type FixtureArray, tensorOf } from "../../test/support/arrays.ts";
import { useBackend } from "../../test/support/backend.ts";
import { readFixture } from "../../test/support/fixture.ts";
import { backends } from "../../test/support/kernels.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import * as nn from "./nn.ts";

interface Case {
  readonly function: string;
  readonly title: string;
  readonly constants: Record<string, unknown>;
  readonly arguments: Record<string, FixtureArray>;
  readonly coefficients: FixtureArray;
  readonly output: FixtureArray;
  readonly gradients: Record<string, FixtureArray>;
  readonly after: Record<string, FixtureArray>;
}

/** float32 arithmetic of up to a few dozen terms, and erf to 1.5e-7, against float64. */
const TOLERANCE = 1e-5;

const { cases } = readFixture<{ cases: Case[] }>("nn.json");

type Args = Record<string, tf.Tensor>;
type Constants = Record<string, tf.Tensor | number | boolean>;
const calls: Record<string, (a: Args, c: Constants) => tf.Tensor> = {
  linear: (a) => nn.linear(a.x, a.weight, a.bias),
  layerNorm: (a) => nn.layerNorm(a.x, a.gain, a.bias),
  batchNorm: (a, c) =>
    nn.batchNorm(a.x, {
      gain: a.gain,
      bias: a.bias,
      mean: c.mean as tf.Variable,
      variance: c.variance as tf.Variable,
      training: c.training as boolean,
    }),
  gelu: (a) => nn.gelu(a.x),
  attention: (a, c) => nn.attention(a.query, a.key, a.value, c as nn.AttentionOptions),
  rmsNorm: (a) => nn.rmsNorm(a.x, a.gain),
  softmaxCrossEntropy: (a, c) =>
    nn.softmaxCrossEntropy(a.scores, c.labels as tf.Tensor, c as nn.SoftmaxCrossEntropyOptions),
  lstm: ({ x, h0, c0, ...weights }) => {
    const { output, h, c } = nn.lstm(x, weights as unknown as nn.RecurrentWeights, { h0, c0 });
    return tf.concat([output, h, c].map((t) => tf.reshape(t, [-1])));
  },
  gru: ({ x, h0, ...weights }) => {
    const { output, h } = nn.gru(x, weights as unknown as nn.RecurrentWeights, { h0 });
    return tf.concat([output, h].map((t) => tf.reshape(t, [-1])));
  },
  movingAverage: (a, c) => nn.movingAverage(a.x, c.kernel as number),
  embedding: (a, c) => nn.embedding(a.table, c.ids as tf.Tensor),
};

for (const [name, use] of backends) {
  test(`nn agrees with torch in values and gradients on ${name}`, async () => {
    await use();
    for (const row of cases) {
      const what = `${row.function}, ${row.title}`;
      const names = Object.keys(row.arguments);
      const variables = names.map((name) => tf.variable(tensorOf(row.arguments[name])));
      const constants: Constants = {};
      for (const [key, value] of Object.entries(row.constants)) {
        constants[key] = typeof value === "object"
          ? tf.variable(tensorOf(value as FixtureArray))
          : value as number;
      }
      const call = () =>
        calls[row.function](
          Object.fromEntries(names.map((name, i) => [name, variables[i]])),
          constants,
        );
      let output: tf.Tensor | undefined;
      const { grads } = tf.variableGrads(() => {
        output = tf.keep(call());
        return tf.sum(tf.mul(output, tensorOf(row.coefficients))) as tf.Scalar;
      }, variables);
      await assertNear(output!, row.output, TOLERANCE, what);
      for (const [i, name] of names.entries()) {
        await assertNear(
          grads[variables[i].name],
          row.gradients[name],
          TOLERANCE,
          `${what}: d${name}`,
          1e-2,
        );
      }
      for (const [name, expected] of Object.entries(row.after)) {
        await assertNear(constants[name] as tf.Tensor, expected, TOLERANCE, `${what}: ${name}`);
      }
    }
  });
}

test("batchNorm() refuses to train on a single row", async () => {
  await useBackend("cpu");
  const [gain, bias] = [tf.ones([2]), tf.zeros([2])];
  const [mean, variance] = [tf.variable(bias), tf.variable(gain)];
  const options = { gain, bias, mean, variance, training: true };
  assert.throws(() => nn.batchNorm(tf.ones([1, 2]), options), {
    message: "batchNorm: needs at least 2 rows while training, received shape [1,2]",
  });
});

test("movingAverage() refuses an even kernel and another rank", () => {
  assert.throws(() => nn.movingAverage(tf.ones([1, 4, 1]), 4), {
    message: "movingAverage: kernel must be an odd integer >= 1, received 4",
  });
  assert.throws(() => nn.movingAverage(tf.ones([4, 1]), 3), /must be \[batch, time, channels\]/);
});

test("dropout() keeps 1 - rate of the elements, scaled, the same ones for the same stream", async () => {
  await useBackend("wasm");
  const x = tf.ones([200, 100]);
  const drop = (seed: number, rate = 0.3) =>
    nn.dropout(x, rate, { training: true, random: randomStream(seed) }).dataSync();
  const first = drop(5);
  const kept = first.filter((v) => v !== 0);
  assert.ok(Math.abs(kept.length / first.length - 0.7) < 5 * Math.sqrt(0.21 / first.length));
  assert.ok(kept.every((v) => v === Math.fround(1 / 0.7)));
  assert.deepEqual(drop(5), first);
  assert.notDeepEqual(drop(6), first);
  assert.ok(drop(5, 1).every((v) => v === 0));
  const uniform = randomStream(5).uniform(new Float32Array(first.length));
  assert.ok(first.every((v, i) => (v !== 0) === (uniform[i] >= 0.3)));
});

test("dropout() passes the mask on to the gradient, and is the identity outside training", () => {
  const random = randomStream(5);
  const x = tf.ones([50]);
  const y = nn.dropout(x, 0.5, { training: true, random: random.fork("a") }).dataSync();
  const dx = tf.grad((x) =>
    tf.sum(nn.dropout(x, 0.5, { training: true, random: random.fork("a") }))
  )(x);
  assert.deepEqual(dx.dataSync(), y);
  assert.equal(nn.dropout(x, 0.5, { training: false, random }), x);
});
