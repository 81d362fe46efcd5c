/** Buffers: every leaf starts from the iteration's values, and the results combine weighted by rows. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, fromLayers, type Model, tf } from "../../mod.ts";
import { assertClose } from "../support/close.ts";
import { linearConfig, normed, observe, regression } from "./support.ts";

/** Keeps the inputs of every training batch. */
class Inputs implements Callback {
  readonly name = "Inputs";
  readonly seen: Float32Array[] = [];
  batch<T>(batch: T): T {
    this.seen.push((batch as { inputs: { data: Float32Array } }).inputs.data);
    return batch;
  }
}

const cuts = [
  { batchSize: 7, accumulate: 1, shards: 1, leaves: [[0, 7]] },
  { batchSize: 4, accumulate: 2, shards: 1, leaves: [[0, 4], [4, 7]] },
  { batchSize: 8, accumulate: 1, shards: 3, leaves: [[0, 2], [2, 4], [4, 7]] },
];

for (const { leaves, shards, ...train } of cuts) {
  const pieces = leaves.map(([start, end]) => end - start).join("+");
  test(`running averages are those of the leaves, weighted by rows: ${pieces}`, async () => {
    const inputs = new Inputs();
    // 7 samples: every batch is the whole set, the last micro-batch short.
    const { weights } = await observe(linearConfig({
      model: { type: normed },
      data: { type: () => ({ train: regression(7), validation: regression(5) }) },
      train: { iterations: 3, ...train },
      shards,
      validation: { interval: 1 },
      callbacks: [inputs],
    }));
    let mean = [0, 0, 0], variance = [1, 1, 1];
    for (const x of inputs.seen) {
      const parts = leaves.map(([start, end]) => moments(x, start, end));
      const combine = (old: number[], key: "mean" | "variance") =>
        old.map((v, c) =>
          parts.reduce((sum, { rows, [key]: m }) => sum + rows / 7 * (0.9 * v + 0.1 * m[c]), 0)
        );
      [mean, variance] = [combine(mean, "mean"), combine(variance, "variance")];
    }
    assert.equal(inputs.seen.length, 3);
    assertClose(weights.slice(12, 15), mean, 1e-6, "mean");
    assertClose(weights.slice(15, 18), variance, 1e-6, "variance");
    // A buffer that is no average: what one pass made of it, however many leaves there were.
    assert.equal(weights[18], 3);
    // One that does not move keeps its bits.
    assert.deepEqual(weights.slice(19), [0.1, 1 / 3, 0.7, 1e-7, 123.456].map(Math.fround));
  });
}

test("fromLayers: the averages of its batch norm combine the same way", async () => {
  const layered = () => {
    const model = tf.sequential({
      layers: [
        tf.layers.batchNormalization({ inputShape: [3], momentum: 0.5 }),
        tf.layers.dense({ units: 2 }),
      ],
    });
    return fromLayers(model);
  };
  const inputs = new Inputs();
  let after: number[] = [];
  await observe(linearConfig({
    model: { type: layered },
    data: { type: () => ({ train: regression(7) }) },
    validation: undefined,
    train: { iterations: 1, batchSize: 4, accumulate: 2 },
    callbacks: [inputs, {
      name: "Read",
      finish(_: unknown, run: { model: Model }) {
        const { buffers = {} } = run.model;
        const name = Object.keys(buffers).find((name) => /moving_?mean/i.test(name))!;
        after = [...buffers[name].dataSync()];
      },
    }],
  }));
  const [a, b] = [moments(inputs.seen[0], 0, 4), moments(inputs.seen[0], 4, 7)];
  assertClose(after, a.mean.map((m, c) => (4 * 0.5 * m + 3 * 0.5 * b.mean[c]) / 7), 1e-6);
});

/** Mean and unbiased variance of rows [start, end) of x [rows, 3]. */
function moments(x: Float32Array, start: number, end: number) {
  const rows = end - start;
  const column = (c: number) => Array.from({ length: rows }, (_, i) => x[3 * (start + i) + c]);
  const mean = [0, 1, 2].map((c) => column(c).reduce((a, b) => a + b) / rows);
  const variance = mean.map((m, c) =>
    column(c).reduce((sum, v) => sum + (v - m) ** 2, 0) / (rows - 1)
  );
  return { rows, mean, variance };
}
