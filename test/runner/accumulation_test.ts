/** k micro-batches of b, k shards, and one batch of k * b give the same losses and weights. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ArrayDataset, type RunConfig, tf } from "../../mod.ts";
import { assertClose } from "../support/close.ts";
import type { Overrides } from "../support/runs.ts";
import { linear, linearConfig, observe, regression } from "./support.ts";

/** Ways to take 12 samples an iteration: one batch, micro-batches, shards, both, uneven pieces. */
const cuts: { title: string; train: RunConfig["train"]; shards?: number }[] = [
  { title: "4 of 3", train: { iterations: 20, batchSize: 3, accumulate: 4 } },
  { title: "5 shards", train: { iterations: 20, batchSize: 12 }, shards: 5 },
  { title: "2 of 6, 4 shards", train: { iterations: 20, batchSize: 6, accumulate: 2 }, shards: 4 },
];

/** The mean squared error, made by the model from the targets that it sees. */
const ownLoss = linear((y, { targets, targetsMask }) => {
  const square = tf.squaredDifference(y, tf.where(tf.isNaN(targets), y, targets));
  return {
    prediction: y,
    loss: targetsMask === undefined ? tf.mean(square) : tf.div(tf.sum(square), tf.sum(targetsMask)),
  };
});

const masked = { type: () => ({ train: regression(48, { missing: 3 }) }) };
// 48 samples are 4 batches; 43 are 3 and one of 7, 37 3 and a last one of a single sample.
const whole = { type: () => ({ train: regression(48) }) };

const cases: { title: string; overrides: Overrides }[] = [
  { title: "plain", overrides: { data: whole } },
  { title: "masked", overrides: { data: masked } },
  { title: "ragged", overrides: { data: { type: () => ({ train: regression(43) }) } } },
  {
    title: "ragged to one sample, masked, momentum",
    overrides: {
      data: { type: () => ({ train: regression(37, { missing: 3 }) }) },
      optimizer: { type: "SGD", params: { lr: 0.05, momentum: 0.9, nesterov: true } },
    },
  },
  { title: "a masked mean absolute error", overrides: { data: masked, loss: "mae" } },
  { title: "a loss of the model's own", overrides: { data: whole, model: { type: ownLoss } } },
  { title: "a masked one", overrides: { data: masked, model: { type: ownLoss } } },
  {
    title: "clipping by norm",
    overrides: { data: masked, train: { clipGrad: { maxNorm: 0.05 } } },
  },
  {
    title: "clipping by the largest",
    overrides: { data: masked, train: { clipGrad: { maxNorm: 0.05, normType: "inf" } } },
  },
  {
    title: "clipping by value",
    overrides: { data: masked, train: { clipGrad: { clipValue: 0.02 } } },
  },
  {
    title: "class weights",
    overrides: {
      task: "classification",
      loss: { type: "crossEntropy", params: { weight: [1, 5], labelSmoothing: 0.1 } },
      metrics: ["accuracy"],
      data: { type: () => ({ train: labelled(43) }) },
    },
  },
  {
    title: "an auxiliary loss",
    overrides: {
      data: { type: () => ({ train: regression(43) }) },
      model: { type: linear((y) => ({ prediction: y, size: tf.square(y) })) },
      callbacks: [{ type: "AuxiliaryLoss", params: { keys: ["size"], weight: 0.3 } }],
    },
  },
];

for (const { title, overrides } of cases) {
  test(`accumulation and shards give the numbers of one batch: ${title}`, async () => {
    await compare(overrides);
  });
}

test("accumulation and shards give the numbers of one batch: on wasm, with AdamW", async () => {
  await compare({
    backend: "wasm",
    data: masked,
    optimizer: { type: "AdamW", params: { lr: 0.01, weight_decay: 0.1 } },
  });
});

async function compare(overrides: Overrides): Promise<void> {
  const config = (part: { train: RunConfig["train"]; shards?: number }): RunConfig => {
    const { train, ...rest } = overrides;
    return linearConfig({
      validation: false,
      metrics: ["mse"],
      ...rest,
      train: { ...train as object, ...part.train, metrics: true },
      shards: part.shards ?? 1,
      log: { interval: 20, progress: false },
    });
  };
  const one = await observe(config({ train: { iterations: 20, batchSize: 12 } }));
  assert.notEqual(one.watch.losses[0], one.watch.losses[19]);
  for (const cut of cuts) {
    const other = await observe(config(cut));
    relative(other.watch.losses, one.watch.losses, `${cut.title}: loss`);
    relative(other.weights, one.weights, `${cut.title}: weight`);
    const { train: logged } = other.watch.logged, { train: expected } = one.watch.logged;
    assert.deepEqual(Object.keys(logged[20]), Object.keys(expected[20]));
    assertClose(Object.values(logged[20]), Object.values(expected[20]), 1e-6, cut.title);
  }
}

/** Within 1e-6 of the largest. */
function relative(actual: number[], expected: number[], what: string): void {
  assert.equal(actual.length, expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  expected.forEach((value, i) => {
    const error = Math.abs(actual[i] - value) / largest;
    assert.ok(error <= 1e-6, `${what} ${i}: expected ${value}, received ${actual[i]}`);
  });
}

/** Two classes, one of them rare; every seventh label does not count. */
function labelled(rows: number): ArrayDataset {
  const { inputs, targets } = regression(rows).fields;
  const labels = Int32Array.from(
    { length: rows },
    (_, i) => i % 7 === 6 ? -100 : targets.data[2 * i] > 0.8 ? 1 : 0,
  );
  return new ArrayDataset({ inputs, targets: { data: labels, shape: [rows] } });
}
