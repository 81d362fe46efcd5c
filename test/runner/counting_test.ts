/** One iteration is one update and one scheduler step, whatever the batch is made of. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { tf } from "../../mod.ts";
import { assertClose } from "../support/close.ts";
import { linear, linearConfig, observe, plain } from "./support.ts";

const rows = [
  // 20 samples, batches of 4: epochs of 5 iterations.
  { title: "whole epochs", train: { iterations: 10, batchSize: 4 }, sizes: [4] },
  { title: "across epoch ends", train: { iterations: 23, batchSize: 4 }, sizes: [4] },
  { title: "accumulate", train: { iterations: 7, batchSize: 2, accumulate: 2 }, sizes: [4] },
  { title: "shards", train: { iterations: 7, batchSize: 4 }, shards: 3, sizes: [4] },
  // 20 = 2 * 8 + 4: every third batch is ragged.
  { title: "ragged", train: { iterations: 7, batchSize: 8 }, sizes: [8, 8, 4] },
  {
    title: "ragged, accumulate and shards",
    train: { iterations: 7, batchSize: 3, accumulate: 3 },
    shards: 2,
    sizes: [9, 9, 2],
  },
  { title: "dropLast", train: { iterations: 7, batchSize: 8, dropLast: true }, sizes: [8] },
  { title: "a batch larger than the data", train: { iterations: 3, batchSize: 64 }, sizes: [20] },
  { title: "one iteration", train: { iterations: 1, batchSize: 4 }, sizes: [4] },
  {
    title: "limitBatches",
    train: { iterations: 7, batchSize: 8, limitBatches: 2 },
    sizes: [8, 8],
  },
];

for (const { title, train, shards = 1, sizes } of rows) {
  test(`train makes exactly N updates and N scheduler steps: ${title}`, async () => {
    const { summary, watch } = await observe(linearConfig({
      train,
      shards,
      optimizer: { type: "SGD", params: { lr: 1 } },
      scheduler: { type: "StepLR", params: { step_size: 1, gamma: 0.5 } },
      // A loss of gradient 0 but for the bias, where it is 1.
      model: { type: linear((y) => ({ prediction: y, loss: tf.mean(tf.sum(y, 1)) })) },
      data: { type: () => ({ train: plain(20, () => 0) }) },
      validation: undefined,
    }));
    const n = train.iterations;
    assert.equal(summary.iterations, n);
    assert.equal(summary.skipped, 0);
    assert.deepEqual(watch.iterations, Array.from({ length: n }, (_, i) => i + 1));
    // After update k the rate has been halved k times.
    assert.deepEqual(watch.rates, Array.from({ length: n }, (_, i) => 0.5 ** (i + 1)));
    assert.deepEqual(watch.rows, Array.from({ length: n }, (_, i) => sizes[i % sizes.length]));
  });
}

test("every update moves the weights once: N updates of rate 1, 1/2, 1/4, ... with gradient 1", async () => {
  for (
    const part of [{ batchSize: 8 }, { batchSize: 3, accumulate: 3 }, { batchSize: 8, shards: 4 }]
  ) {
    const { shards = 1, ...train } = part as { shards?: number; batchSize: number };
    const { weights } = await observe(linearConfig({
      train: { iterations: 9, ...train },
      shards,
      optimizer: { type: "SGD", params: { lr: 1 } },
      scheduler: { type: "StepLR", params: { step_size: 1, gamma: 0.5 } },
      model: { type: linear((y) => ({ prediction: y, loss: tf.mean(tf.sum(y, 1)) })) },
      data: { type: () => ({ train: plain(20, () => 0) }) },
      validation: undefined,
    }));
    const moved = 2 - 0.5 ** 8;
    assertClose(weights.slice(6), [0.05 - moved, -0.1 - moved], 1e-6, JSON.stringify(part));
    assertClose(weights.slice(0, 6), [0.3, -0.2, 0.1, 0.4, -0.5, 0.2], 1e-7);
  }
});

test("an epoch visits every sample once, in an order of its own", async () => {
  const seen: number[] = [];
  const spy = {
    name: "Spy",
    batch: (batch: never) => {
      seen.push(...(batch as { inputs: { data: Float32Array } }).inputs.data);
      return batch;
    },
  };
  await observe(linearConfig({
    train: { iterations: 6, batchSize: 8 },
    callbacks: [spy],
    data: { type: () => ({ train: plain(20, (row) => row) }) },
    validation: undefined,
  }));
  const first = seen.filter((_, i) => i % 3 === 0);
  const [one, two] = [first.slice(0, 20), first.slice(20)];
  const sorted = (x: number[]) => [...x].sort((a, b) => a - b);
  const all = Array.from({ length: 20 }, (_, i) => i);
  assert.deepEqual(sorted(one), all);
  assert.deepEqual(sorted(two), all);
  assert.notDeepEqual(one, all);
  assert.notDeepEqual(one, two);
});
