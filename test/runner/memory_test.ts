/** Tensors: as many after 1,000 iterations as after 10, and none left when a run is disposed. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, IterationRunner, type Model, type RunConfig, tf } from "../../mod.ts";
import { Lines, type Overrides, smallConfig, withFolder } from "../support/runs.ts";
import { linearConfig, normed, observe, regression } from "./support.ts";

/** Counts tensors at the end of every iteration. */
class Count implements Callback {
  readonly name = "Count";
  readonly tensors: number[] = [];
  readonly bytes: number[] = [];
  iterationEnd(): void {
    this.tensors.push(tf.memory().numTensors);
    this.bytes.push(tf.memory().numBytes);
  }
}

const lengths: { title: string; overrides: Overrides }[] = [
  {
    title: "1,000 iterations on cpu",
    overrides: { train: { iterations: 1000, batchSize: 6, clipGrad: { maxNorm: 0.01 } } },
  },
  {
    title: "200 iterations of several leaves on wasm",
    overrides: {
      backend: "wasm",
      model: { type: normed },
      train: {
        iterations: 200,
        batchSize: 5,
        accumulate: 2,
        metrics: true,
        clipGrad: { maxNorm: 0.01, normType: 1 },
      },
    },
  },
];

for (const { title, overrides } of lengths) {
  test(`memory is flat with validation, test, EMA, clipping, curriculum and checkpoints: ${title}`, async () => {
    await withFolder(async (directory) => {
      const count = new Count();
      const run = await IterationRunner.create(
        linearConfig({
          name: "run",
          optimizer: { type: "SGD", params: { lr: 0.01, momentum: 0.9 } },
          scheduler: { type: "StepLR", params: { step_size: 100 } },
          validation: { interval: 40 },
          test: { interval: 100 },
          log: { interval: 10, progress: false, tensorboard: false },
          checkpoint: { directory, interval: 100 },
          earlyStopping: { patience: 1000 },
          callbacks: [
            { type: "EMA", params: { decay: 0.9 } },
            { type: "Curriculum", params: { prediction_length: 2, interval: 50 } },
            count,
          ],
          ...overrides,
        }, { train: regression(23, { missing: 4 }) }),
        { output: new Lines() },
      );
      const { iterations } = await run.train();
      run.dispose();
      assert.equal(count.tensors.length, iterations);
      const late = count.tensors.slice(10);
      assert.deepEqual([Math.min(...late), Math.max(...late)], [late[0], late[0]]);
      const bytes = count.bytes.slice(10);
      assert.deepEqual([Math.min(...bytes), Math.max(...bytes)], [bytes[0], bytes[0]]);
    });
  });
}

const named = (): Model => {
  // Names in tfjs' global table: a second variable of one name is refused there.
  const weight = tf.tidy(() => tf.variable(tf.zeros([3, 2]), true, "shared_weight"));
  return {
    parameters: { weight },
    forward: ({ inputs }) => tf.matMul(inputs as tf.Tensor2D, weight as tf.Tensor2D),
  };
};

const layers = {
  class_name: "Sequential",
  config: {
    name: "net",
    layers: [
      {
        class_name: "Dense",
        config: { name: "dense", units: 3, batch_input_shape: [null, 3], activation: "relu" },
      },
      { class_name: "Dropout", config: { name: "drop", rate: 0.5 } },
      { class_name: "BatchNormalization", config: { name: "norm" } },
      { class_name: "Dense", config: { name: "out", units: 2 } },
    ],
  },
};

const rows: { title: string; config: RunConfig }[] = [
  { title: "a model without dispose, buffers", config: linearConfig({ model: { type: normed } }) },
  { title: "variables with names of their own", config: linearConfig({ model: { type: named } }) },
  {
    title: "a tf.LayersModel",
    config: linearConfig({ model: { type: "Layers", params: { json: layers } } }),
  },
  {
    title: "a reference model, scaled data, naive forecasts, AdamW",
    config: smallConfig({
      rescale: true,
      test: { horizons: [1, 2] },
      model: {
        type: "DLinear",
        params: { inputLength: 12, outputLength: 4, channels: 2, kernel: 5 },
      },
    }),
  },
  {
    title: "a classification with class weights",
    config: linearConfig({
      task: "classification",
      loss: { type: "crossEntropy", params: { weight: [1, 2] } },
      metrics: ["accuracy"],
    }, labels()),
  },
];

for (const { title, config } of rows) {
  test(`dispose frees everything, and a second run of the same names works: ${title}`, async () => {
    const overrides: Overrides = {
      callbacks: [{ type: "EMA", params: { decay: 0.5 } }],
      checkpoint: false,
    };
    // What backends and layers keep for good is there after a first run.
    await observe({ ...config, ...overrides } as RunConfig);
    const before = tf.memory().numTensors;
    const first = await observe({ ...config, ...overrides } as RunConfig);
    assert.equal(tf.memory().numTensors, before);
    const second = await observe({ ...config, ...overrides } as RunConfig);
    assert.equal(tf.memory().numTensors, before);
    assert.deepEqual(second.weights, first.weights);
    assert.equal(second.summary.weightsSha256, first.summary.weightsSha256);
  });
}

test("two runs of one config live beside each other and do not meet", async () => {
  const config = linearConfig({ model: { type: "Layers", params: { json: layers } } });
  const alone = await observe(config);
  const runs = await Promise.all(
    [1, 2].map(() => IterationRunner.create(config, { output: new Lines() })),
  );
  const summaries = await Promise.all(runs.map((run) => run.train()));
  for (const { weightsSha256, test } of summaries) {
    assert.equal(weightsSha256, alone.summary.weightsSha256);
    assert.deepEqual(test, alone.summary.test);
  }
  runs.forEach((run) => run.dispose());
});

test("a disposed run says so, and may be disposed again", async () => {
  const run = await IterationRunner.create(linearConfig(), { output: new Lines() });
  run.dispose();
  run.dispose();
  await assert.rejects(run.train(), { name: "ConfigError", message: "the run has been disposed" });
  await assert.rejects(run.predict([[1, 2, 3]]), { message: "the run has been disposed" });
});

function labels() {
  const part = (rows: number, from: number) => {
    const { inputs } = regression(rows, { from }).fields;
    const data = Int32Array.from({ length: rows }, (_, i) => inputs.data[3 * i] > 0 ? 1 : 0);
    return {
      gather: (indices: ArrayLike<number>) => {
        const { inputs } = regression(rows, { from }).gather(indices);
        const picked = Int32Array.from(indices, (i) => data[i]);
        return {
          inputs,
          targets: { data: picked, shape: [picked.length], dtype: "int32" as const },
        };
      },
      length: rows,
    };
  };
  return { train: part(20, 0), validation: part(9, 100), test: part(7, 200) };
}
