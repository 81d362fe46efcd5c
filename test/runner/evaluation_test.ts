/** Evaluation: the same values at any batch size and at any time, and nothing of it reaches training. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ArrayDataset, IterationRunner, type Model, type RunConfig, tf } from "../../mod.ts";
import { Lines, type Overrides, series, smallConfig } from "../support/runs.ts";
import { linear, linearConfig, observe, regression, weightsOf } from "./support.ts";

const all = ["mae", "mse", "rmse", "mape", "smape", "wape", "huber", "r2", "corr"];

/** A classification of 23 samples into 3 classes. */
function labelled(rows: number): ArrayDataset {
  const { inputs } = regression(rows).fields;
  const labels = Int32Array.from({ length: rows }, (_, i) => i % 5 === 4 ? -100 : i * i % 3);
  return new ArrayDataset({ inputs, targets: { data: labels, shape: [rows] } });
}

const dropping = {
  type: "Mlp",
  params: { inputLength: 12, outputLength: 4, channels: 2, dropout: 0.5 },
};

const tasks: { title: string; overrides: Overrides }[] = [
  {
    title: "forecasting with missing cells, in original units",
    overrides: {
      model: dropping,
      data: {
        type: "ForecastingArray",
        params: {
          values: series(160, 90),
          channels: 2,
          inputLength: 12,
          outputLength: 4,
          scaler: "zscore",
        },
      },
      rescale: true,
      loss: "huber",
      metrics: all,
      test: { horizons: [1, 4] },
    },
  },
  {
    title: "single numbers as targets",
    overrides: { ...linearConfig(), metrics: ["r2", "corr", "wape", "rmse"] } as Overrides,
  },
  {
    title: "classification",
    overrides: {
      model: { type: "Mlp", params: { inputSize: 3, outputSize: 3, hidden: [5] } },
      data: {
        type: () => ({
          train: labelled(23),
          validation: labelled(23),
          test: labelled(11),
          task: "classification" as const,
        }),
      },
      loss: { type: "crossEntropy", params: { weight: [1, 2, 3] } },
      metrics: ["accuracy"],
    },
  },
  {
    title: "imputation",
    overrides: {
      task: { type: "imputation", params: { ratio: 0.4 } },
      model: {
        type: "Mlp",
        params: { inputLength: 12, outputLength: 12, channels: 2, hidden: [8] },
      },
      metrics: ["mse", "mae", "wape"],
    },
  },
];

for (const { title, overrides } of tasks) {
  test(`evaluation does not depend on the batch size: ${title}`, async () => {
    let expected: Record<string, number> | undefined;
    for (const batchSize of [1, 5, 8, 1000]) {
      const { validation: _, test: testing = {}, ...rest } = overrides;
      const run = await IterationRunner.create(
        smallConfig({
          ...rest,
          validation: { batchSize },
          test: { ...testing as object, batchSize },
        }),
        { output: new Lines() },
      );
      const values = {
        ...await run.validate(),
        ...run.data.test === undefined ? {} : prefixed(await run.test()),
      };
      run.dispose();
      if (expected === undefined) expected = values;
      assert.deepEqual(Object.keys(values), Object.keys(expected));
      for (const [name, value] of Object.entries(values)) {
        assert.ok(Number.isFinite(value), `${name} is ${value}`);
        const error = Math.abs(value - expected[name]) / Math.abs(expected[name]);
        assert.ok(error < 1e-6, `${name}: ${expected[name]} by ones, ${value} by ${batchSize}`);
      }
    }
    if (title.startsWith("forecasting")) {
      for (const name of ["loss", ...all, "test/horizon_1/mae", "test/horizon_4/wape"]) {
        assert.ok(name in expected!, `${name} is missing in ${Object.keys(expected!)}`);
      }
    }
  });
}

test("training gives the same bits whenever and however often validation and test run", async () => {
  const batchNorm = {
    type: "PatchTST",
    params: {
      inputLength: 12,
      outputLength: 4,
      channels: 2,
      patchLength: 4,
      stride: 2,
      width: 4,
      heads: 1,
      feedForward: 4,
      layers: 1,
      dropout: 0.3,
    },
  };
  for (const model of [dropping, batchNorm]) {
    const config = (overrides: Overrides): RunConfig =>
      smallConfig({ model, train: { iterations: 6, batchSize: 8 }, ...overrides });
    const plain = await observe(config({ validation: false, test: false }));
    const rows: Overrides[] = [
      { validation: { interval: 1 }, test: { interval: 1 } },
      { validation: { interval: 2, batchSize: 3, sanity: 0 } },
      { validation: { interval: 100, sanity: 5 }, test: { interval: 3, limitBatches: 2 } },
      { task: "forecasting", validation: { interval: 1, limitBatches: 1 } },
    ];
    for (const row of rows) {
      const { weights, watch } = await observe(config(row));
      assert.deepEqual(weights, plain.weights, JSON.stringify(row));
      assert.deepEqual(watch.losses, plain.watch.losses);
    }
  }
});

test("imputation asks the same question in every evaluation and another one in every iteration", async () => {
  const masks: string[] = [];
  const { watch } = await observe(smallConfig({
    task: "imputation",
    model: {
      type: (): Model => {
        const weight = tf.variable(tf.scalar(0));
        return {
          parameters: { weight },
          forward: ({ inputs, inputsMask }, { training }) => {
            if (training && inputs.shape[0] === 8) masks.push(inputsMask.dataSync().join());
            return tf.mul(inputs, weight);
          },
        };
      },
    },
    train: { iterations: 4, batchSize: 8 },
    optimizer: { type: "SGD", params: { lr: 0 } },
    validation: { interval: 1 },
  }));
  assert.equal(new Set(masks).size, 4);
  const losses = Object.values(watch.logged.val).map(({ loss }) => loss);
  assert.equal(losses.length, 4);
  assert.deepEqual(losses, losses.map(() => losses[0]));
});

test("targets are blank outside training: a model that copies them scores in training only", async () => {
  const copying = linear((y, { targets }) => tf.add(tf.mul(y, 0), targets));
  const { summary, watch } = await observe(linearConfig({
    model: { type: copying },
    metrics: ["mse"],
    log: { interval: 1, progress: false },
    train: { iterations: 2, batchSize: 4, metrics: true },
    validation: { interval: 1 },
  }));
  assert.equal(watch.logged.train[1].mse, 0);
  const square = (from: number, rows: number) => {
    const { data } = regression(rows, { from }).fields.targets;
    return Array.from(data).reduce((sum, v) => sum + v * v, 0) / data.length;
  };
  assert.ok(Math.abs(watch.logged.val[1].mse - square(100, 9)) < 1e-6);
  assert.ok(Math.abs(summary.test!.mse - square(200, 7)) < 1e-6);
});

test("a loss of the model's own is for training; outside it, where targets are blank, the config's counts", async () => {
  const own = linear((y, { targets }) => ({
    prediction: y,
    loss: tf.mul(10, tf.mean(tf.abs(tf.sub(y, targets)))),
  }));
  const { summary, watch } = await observe(linearConfig({
    model: { type: own },
    loss: "mse",
    metrics: ["mse", "mae"],
    log: { interval: 1, progress: false },
    train: { iterations: 2, batchSize: 4, metrics: true },
  }));
  assert.ok(Math.abs(watch.logged.train[1].loss - 10 * watch.logged.train[1].mae) < 1e-5);
  assert.ok(Math.abs(watch.logged.val[2].loss - watch.logged.val[2].mse) < 1e-6);
  assert.ok(Math.abs(summary.test!.loss - summary.test!.mse) < 1e-6);
});

test("validate and test leave the weights and answer for the present and the best ones", async () => {
  // A rate that overshoots: the first validation is the best.
  const run = await IterationRunner.create(
    linearConfig({
      optimizer: { type: "SGD", params: { lr: 3 } },
      train: { iterations: 6, batchSize: 20 },
      validation: { interval: 1 },
    }),
    { output: new Lines() },
  );
  const fresh = await run.test();
  const before = weightsOf(run);
  assert.deepEqual(await run.test(), fresh);
  assert.deepEqual(weightsOf(run), before);
  const { best, test } = await run.train();
  const after = weightsOf(run);
  assert.equal(best!.iteration, 1);
  assert.deepEqual(await run.test(), test);
  assert.ok((await run.validate()).loss > best!.value);
  assert.deepEqual(weightsOf(run), after);
  run.dispose();
});

function prefixed(values: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, v]) => [`test/${name}`, v]));
}

test("metrics of training batches are those of an evaluation, digits included, however a batch is cut", async () => {
  const rows = 24;
  const draw = (k: number) => Math.sin(12.9898 * (k + 1)) * 43758.5453 % 1;
  const inputs = Float32Array.from({ length: rows }, (_, i) => 1e5 + draw(i));
  const fields = () =>
    new ArrayDataset({
      inputs: { data: inputs, shape: [rows, 1] },
      targets: { data: inputs.map((v, i) => v + draw(100 + i)), shape: [rows, 1] },
    });
  const identity = (): Model => {
    const weight = tf.tidy(() => tf.variable(tf.ones([1])));
    return { parameters: { weight }, forward: ({ inputs }) => tf.mul(inputs, weight) };
  };
  for (const [shards, accumulate] of [[1, 1], [3, 2]]) {
    const { watch } = await observe(linearConfig({
      model: { type: identity },
      data: { type: () => ({ train: fields(), validation: fields() }) },
      optimizer: { type: "SGD", params: { lr: 0 } },
      metrics: ["r2", "corr", "mae"],
      train: { iterations: 1, batchSize: rows / accumulate, accumulate, metrics: true },
      shards,
    }));
    const { train, val } = watch.logged;
    for (const name of ["r2", "corr", "mae"]) {
      assert.ok(Math.abs(train[1][name] - val[1][name]) < 1e-9, `${name} ${train[1][name]}`);
      assert.ok(train[1][name] > 0 && train[1][name] < 1, `${name} ${train[1][name]}`);
    }
  }
});
