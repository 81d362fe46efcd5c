/** Whole runs of the other kinds: streams, classification, imputation, results by forecast step. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ArrayDataset, type DataSplits, IterationRunner, type RunConfig, tf } from "../../mod.ts";
import { decodeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { assertClose } from "../support/close.ts";
import { Lines, series, smallConfig, trainOnce, withFolder } from "../support/runs.ts";
import { linearConfig, observe, regression, stream } from "./support.ts";

test("a stream trains like the same samples in an array, over its ends, and is closed at the end", async () => {
  const source = stream(10);
  const { inputs, targets } = regression(10).fields;
  // The passes one after the other, as the stream gives them.
  const order = Array.from({ length: 30 }, (_, i) => (i % 10 + Math.floor(i / 10)) % 10);
  const pick = (data: ArrayLike<number>, n: number) =>
    Float32Array.from(order.flatMap((k) => Array.from({ length: n }, (_, j) => data[n * k + j])));
  const array = new ArrayDataset({
    inputs: { data: pick(inputs.data, 3), shape: [30, 3] },
    targets: { data: pick(targets.data, 2), shape: [30, 2] },
  });
  const train = { iterations: 6, batchSize: 5, shuffle: false };
  const streamed = await observe(linearConfig({ train }, { train: source } as DataSplits));
  const whole = await observe(linearConfig({ train }, { train: array }));
  assert.deepEqual(streamed.watch.rows, [5, 5, 5, 5, 5, 5]);
  assert.deepEqual(streamed.weights, whole.weights);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.ok(source.opened >= 3);
  assert.equal(source.closed, source.opened);

  // A pass of 10 in batches of 4: 4, 4, 2.
  const ragged = await observe(
    linearConfig(
      { train: { ...train, batchSize: 2, accumulate: 2 } },
      { train: stream(10) } as DataSplits,
    ),
  );
  assert.deepEqual(ragged.watch.rows, [4, 4, 2, 4, 4, 2]);
});

test("a stream resumes exactly", async () => {
  await withFolder(async (directory) => {
    const config = (callbacks: unknown[], checkpoint: unknown): RunConfig =>
      linearConfig(
        { name: "run", train: { iterations: 9, batchSize: 3 }, callbacks, checkpoint } as never,
        { train: stream(10) } as DataSplits,
      );
    const whole = await observe(config([], false));
    for (const k of [2, 5]) {
      const stop = {
        name: "ProgressBar",
        iterationEnd: (run: { state: { iteration: number }; stop(r: string): void }) =>
          run.state.iteration === k ? run.stop("signal") : undefined,
      };
      await trainOnce(config([stop], { directory }));
    }
    const { summary } = await trainOnce(config([], { directory }));
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
  });
});

test("classification: a separable problem is learnt, accuracy is the best model's measure", async () => {
  const part = (rows: number, from: number) => {
    const { inputs } = regression(rows, { from }).fields;
    const labels = Int32Array.from(
      { length: rows },
      (_, i) => (inputs.data[3 * i] > 0 ? 1 : 0) + (inputs.data[3 * i + 1] > 0.5 ? 1 : 0),
    );
    return new ArrayDataset({ inputs, targets: { data: labels, shape: [rows] } });
  };
  const config = smallConfig({
    task: "classification",
    model: { type: "Mlp", params: { inputSize: 3, outputSize: 3, hidden: [16] } },
    data: { type: () => ({ train: part(200, 0), validation: part(60, 500), test: part(60, 700) }) },
    loss: "crossEntropy",
    metrics: ["accuracy"],
    optimizer: { type: "Adam", params: { lr: 0.02 } },
    train: { iterations: 120, batchSize: 20 },
    validation: { interval: 30 },
    best: { monitor: "accuracy" },
  });
  const run = await IterationRunner.create(config, { output: new Lines() });
  const summary = await run.train();
  assert.equal(run.settings.best.mode, "max");
  assert.ok(summary.test!.accuracy > 0.9, `accuracy ${summary.test!.accuracy}`);
  const rows = part(60, 700).fields;
  const { prediction, probabilities } = await run.predict({
    inputs: { data: rows.inputs.data, shape: [60, 3], dtype: "float32" },
  });
  const hits = prediction.dataSync().filter((label, i) => label === rows.targets.data[i]).length;
  assertClose([hits / 60], [summary.test!.accuracy], 1e-6);
  assertClose(tf.sum(probabilities, 1).dataSync(), new Array(60).fill(1), 1e-6);
  tf.dispose([prediction, probabilities]);
  run.dispose();
});

test("imputation: hidden cells of waves are filled better than by their mean", async () => {
  const { summary, watch } = await observe(smallConfig({
    task: { type: "imputation", params: { ratio: 0.2 } },
    model: {
      type: "Mlp",
      params: { inputLength: 12, outputLength: 12, channels: 2, hidden: [32] },
    },
    data: {
      type: "ForecastingArray",
      params: {
        values: series(300, 30),
        channels: 2,
        inputLength: 12,
        outputLength: 1,
        scaler: "zscore",
      },
    },
    optimizer: { type: "Adam", params: { lr: 0.005 } },
    train: { iterations: 150, batchSize: 16 },
    validation: { interval: 50 },
  }));
  // Scaled data have variance 1 about their mean.
  assert.ok(summary.test!.mse < 0.5, `mse ${summary.test!.mse}`);
  assert.ok(watch.logged.val[150].loss < watch.logged.val[50].loss);
  assert.equal(summary.naive, undefined);
});

test("results by forecast step and saved predictions agree with each other, in original units", async () => {
  await withFolder(async (directory) => {
    const values = series(120, 60);
    const { summary } = await trainOnce(smallConfig({
      name: "run",
      rescale: true,
      data: {
        type: "ForecastingArray",
        params: { values, channels: 2, inputLength: 12, outputLength: 4, scaler: "zscore" },
      },
      metrics: ["mae", "mse", "r2"],
      test: { horizons: [1, 3], savePredictions: true, batchSize: 7 },
      checkpoint: { directory },
      log: { tensorboard: false, progress: false },
    }));
    const file = readFileSync(join(directory, "run", "predictions.safetensors"));
    const { inputs, prediction, target } = decodeSafetensors(new Uint8Array(file), "file").tensors;
    const rows = prediction.shape[0];
    assert.deepEqual(prediction.shape, [rows, 4, 2]);
    assert.deepEqual(target.shape, [rows, 4, 2]);
    assert.deepEqual(inputs.shape, [rows, 12, 2]);
    const [p, t] = [prediction.data as Float32Array, target.data as Float32Array];
    const error = (step?: number) => {
      let sum = 0, n = 0;
      for (let i = 0; i < p.length; i++) {
        // The last windows of the series are the test part; a missing cell does not count.
        const row = Math.floor(i / 8), within = Math.floor(i / 2) % 4, c = i % 2;
        if (step !== undefined && within !== step - 1) continue;
        const time = 120 - rows - 3 + row + within;
        if (Number.isNaN(values[2 * time + c])) continue;
        assert.ok(Math.abs(t[i] - values[2 * time + c]) < 1e-5, `target ${i}`);
        sum += Math.abs(p[i] - values[2 * time + c]);
        n++;
      }
      return sum / n;
    };
    assertClose([summary.test!.mae], [error()], 1e-5);
    assertClose([summary.test!["horizon_1/mae"]], [error(1)], 1e-5);
    assertClose([summary.test!["horizon_3/mae"]], [error(3)], 1e-5);
    assert.ok(!("horizon_1/r2" in summary.test!));
    // Inputs are in the units of the predictions: the row before the first target.
    const last = (inputs.data as Float32Array)[11 * 2];
    const before = values[2 * (120 - rows - 4)];
    assert.ok(Number.isNaN(before) || Math.abs(last - before) < 1e-5, `${last}, ${before}`);
    assert.deepEqual(Object.keys(summary.naive!).length, 1);
  });
});

test("test.horizons beyond the forecast are refused with the number of steps", async () => {
  await assert.rejects(
    IterationRunner.create(smallConfig({ test: { horizons: [5] } }), { output: new Lines() }),
    {
      name: "ConfigError",
      message: "test.horizons[0]: must be at most the number of target steps, 4, received 5",
    },
  );
});
