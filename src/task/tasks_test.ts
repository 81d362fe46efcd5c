import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { randomStream } from "../core/random.ts";
import type { AffineScaler } from "../data/scaler.ts";
import { buildLoss } from "../loss/losses.ts";
import { buildMetrics } from "../metric/metrics.ts";
import type { Batch } from "../model/model.ts";
import * as tf from "../tensor/tf.ts";
import { buildTask } from "./registry.ts";
import type { TaskContext } from "./task.ts";

const random = randomStream(1);
const train: TaskContext = { training: true, random };
const evaluate: TaskContext = { training: false, random };

/** y = (x - 10) / 4 for all channels. */
const scaler = {
  type: "zscore",
  shift: Float64Array.of(10),
  scale: Float64Array.of(4),
  transform: (values: Float32Array) => values.map((x) => (x - 10) / 4),
  inverse: (values: Float32Array) => values.map((x) => x * 4 + 10),
  inverseTensor: (values: tf.Tensor) => tf.add(tf.mul(values, 4), 10),
} as unknown as AffineScaler;

const values = (x: tf.Tensor | undefined): number[] => [...(x as tf.Tensor).dataSync()];

/** Equal numbers, -0 and 0 alike. */
function same(actual: tf.Tensor | undefined, expected: number[]): void {
  assert.deepEqual(values(actual).map((x) => x + 0), expected);
}

for (const backend of ["cpu", "wasm"] as const) {
  test(`forecasting: targets are blank outside training, on ${backend}`, async () => {
    await useBackend(backend);
    const task = buildTask("forecasting");
    const batch: Batch = {
      inputs: tf.tensor2d([[1, 2], [3, 4]]),
      targets: tf.tensor2d([[5, 6], [7, NaN]]),
      targetsMask: tf.tensor2d([[1, 1], [1, 0]]),
      extra: tf.tensor1d([8, 9]),
    };
    const seen = task.preprocess(batch, train);
    assert.deepEqual(Object.keys(seen.model).sort(), Object.keys(batch).sort());
    same(seen.model.targets, [5, 6, 7, NaN]);
    const blank = task.preprocess(batch, evaluate);
    same(blank.model.targets, [0, 0, 0, 0]);
    same(blank.model.targetsMask, [0, 0, 0, 0]);
    same(blank.model.inputs, [1, 2, 3, 4]);
    same(blank.model.extra, [8, 9]);
    same(blank.target, [5, 6, 7, NaN]);
    same(blank.mask, [1, 1, 1, 0]);
    same(batch.targets, [5, 6, 7, NaN]);
    assert.equal(task.itemWeight(blank.target), 4);
    same(task.itemWeight(blank.target, blank.mask) as tf.Tensor, [3]);
    same(task.itemWeight(blank.target, tf.tensor2d([[1, 0]])) as tf.Tensor, [2]);
    const prepared = task.prepare({ inputs: tf.tensor2d([[NaN, 2]]) });
    assert.deepEqual(Object.keys(prepared), ["inputs"]);
    same(prepared.inputs, [0, 2]);
  });

  test(`forecasting: the loss is scaled, metrics follow rescale, answers are in units, on ${backend}`, async () => {
    await useBackend(backend);
    const batch: Batch = { inputs: tf.zeros([1, 2]), targets: tf.tensor2d([[1, -1]]) };
    const prediction = tf.tensor2d([[2, -0.5]]);
    const rows: [boolean, number[], number][] = [[false, [1, -1], 0.75], [true, [14, 6], 3]];
    for (const [rescale, units, mae] of rows) {
      const task = buildTask("forecasting", { scaler, rescale });
      const { target, mask } = task.preprocess(batch, evaluate);
      same(buildLoss(task.defaults.loss)(prediction, target, mask).sum, [1.25]);
      const post = task.postprocess(prediction, target);
      same(post.target, units);
      const [metric] = buildMetrics(["mae"]);
      const sums = metric.update(post.prediction, post.target, mask);
      assert.equal(metric.finalize(Float64Array.from(sums.dataSync())), mae);
      same(task.answer({ prediction }, batch).prediction, [18, 8]);
    }
    same(buildTask("forecasting").answer({ prediction }, batch).prediction, [2, -0.5]);
  });

  test(`classification: labels blank outside training, answer has class and probabilities, on ${backend}`, async () => {
    await useBackend(backend);
    const task = buildTask("classification");
    const batch: Batch = { inputs: tf.zeros([2, 2]), targets: tf.tensor1d([1, 2], "int32") };
    const blank = task.preprocess(batch, evaluate);
    same(blank.model.targets, [0, 0]);
    assert.equal(blank.model.targets.dtype, "int32");
    same(blank.target, [1, 2]);
    same(task.preprocess(batch, train).model.targets, [1, 2]);
    assert.equal(task.itemWeight(blank.target), 2);
    same(task.itemWeight(blank.target, tf.tensor1d([0, 1])) as tf.Tensor, [1]);
    const answer = task.answer({ prediction: tf.tensor2d([[0, Math.log(3)], [5, 5]]) }, batch);
    assert.equal(answer.prediction.dtype, "int32");
    same(answer.prediction, [1, 0]);
    values(answer.probabilities).forEach((p, i) =>
      assert.ok(Math.abs(p - [0.25, 0.75, 0.5, 0.5][i]) < 1e-6)
    );
  });

  test(`imputation: hides a share of the observed cells and counts only these, on ${backend}`, async () => {
    await useBackend(backend);
    const task = buildTask("imputation", { ratio: 0.3 });
    const data = Float32Array.from({ length: 4 * 50 * 5 }, (_, i) => i % 7 === 0 ? NaN : i + 1);
    const batch: Batch = { inputs: tf.tensor(data, [4, 50, 5]) };
    for (const context of [train, evaluate]) {
      const { model, target, mask } = task.preprocess(batch, context);
      const [seen, visible, hidden, full] = [model.inputs, model.inputsMask, mask, target].map(
        values,
      );
      let count = 0;
      data.forEach((x, i) => {
        const present = Number.isNaN(x) ? 0 : 1;
        assert.equal(visible[i] + hidden[i], present);
        assert.equal(seen[i], visible[i] * (present ? x : 0));
        assert.equal(full[i], present ? x : 0);
        count += hidden[i];
      });
      // 857 observed cells: expectation 257, standard deviation 13.
      assert.ok(count > 200 && count < 315, `hidden ${count}`);
      same(task.itemWeight(target, mask) as tf.Tensor, [count]);
      assert.deepEqual(values(model.targets), context.training ? full : full.map(() => 0));
      assert.deepEqual(values(model.targetsMask), context.training ? hidden : full.map(() => 0));
      const { sum, count: items } = buildLoss("mae")(tf.add(target, 1), target, mask);
      same(sum, [count]);
      same(items as tf.Tensor, [count]);
    }
  });

  test(`imputation: evaluation repeats at any batch size, training varies, on ${backend}`, async () => {
    await useBackend(backend);
    const task = buildTask("imputation");
    const inputs = tf.ones([6, 8, 3]);
    const hidden = (context: TaskContext, from = 0, n = 6) =>
      values(task.preprocess({ inputs: tf.slice(inputs, [from], [n]) }, context).mask);
    const whole = hidden(evaluate);
    assert.deepEqual(hidden({ ...evaluate, random: randomStream(99) }), whole);
    const parts = [[0, 4], [4, 2]].flatMap(([position, n]) =>
      hidden({ ...evaluate, position }, position, n)
    );
    assert.deepEqual(parts, whole);
    assert.notDeepEqual(whole.slice(0, 24), whole.slice(24, 48));
    assert.deepEqual(hidden(train), hidden(train));
    assert.notDeepEqual(hidden(train), hidden({ ...train, random: randomStream(2) }));
  });

  test(`imputation: predict hides nothing and fills missing cells in units, on ${backend}`, async () => {
    await useBackend(backend);
    const task = buildTask("imputation", { scaler });
    const batch: Batch = {
      inputs: tf.tensor2d([[1, NaN, 3, 4]]),
      inputsMask: tf.tensor2d([[1, 1, 0, 1]]),
    };
    const prepared = task.prepare(batch);
    same(prepared.inputs, [1, 0, 0, 4]);
    same(prepared.inputsMask, [1, 0, 0, 1]);
    const output = { prediction: tf.tensor2d([[9, 2, 0.5, 9]]) };
    for (const given of [batch, prepared]) {
      same(task.answer(output, given).prediction, [14, 18, 12, 26]);
    }
  });
}

test("buildTask refuses unknown names and options out of range in one line", () => {
  const rows: [string, Record<string, unknown>, RegExp][] = [
    ["forcasting", {}, /^task: unknown task "forcasting"; did you mean 'forecasting'\?/],
    ["imputation", { ratio: 1 }, /^task\.params\.ratio: must be a number in \(0, 1\), received 1$/],
    [
      "imputation",
      { ratio: NaN },
      /^task\.params\.ratio: must be a number in \(0, 1\), received NaN$/,
    ],
  ];
  for (const [name, options, message] of rows) {
    assert.throws(() => buildTask(name, options), { name: "ConfigError", message });
  }
  assert.throws(
    () => buildTask("forecasting").preprocess({ x: tf.zeros([1]) }, train),
    /^ConfigError: data: forecasting needs a field 'targets' in the batch, received \["x"\]$/,
  );
  assert.deepEqual(buildTask().defaults, { loss: "mse", metrics: ["mse", "mae"] });
  assert.deepEqual(buildTask("classification").defaults, {
    loss: "crossEntropy",
    metrics: ["accuracy"],
  });
});
