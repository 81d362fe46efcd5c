/** predict: original units in and out, any number of rows, missing cells, fields by name, the best weights. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ArrayDataset, IterationRunner, type RunConfig, tf } from "../../mod.ts";
import { assertClose } from "../support/close.ts";
import { Lines, type Overrides, series, smallConfig } from "../support/runs.ts";
import { linear, linearConfig, regression } from "./support.ts";

const create = (config: RunConfig) => IterationRunner.create(config, { output: new Lines() });

const values = series(160).map((v, i) => 50 + (i % 2 === 0 ? 10 : 300) * v);

const forecasting = (overrides: Overrides = {}): RunConfig =>
  smallConfig({
    data: {
      type: "ForecastingArray",
      params: { values, channels: 2, inputLength: 12, outputLength: 4, scaler: "zscore" },
    },
    test: { batchSize: 5 },
    ...overrides,
  });

/** `rows` windows of the series from its beginning, [rows, 12, 2]. */
const windows = (rows: number): number[][][] =>
  Array.from(
    { length: rows },
    (_, i) => Array.from({ length: 12 }, (_, t) => [values[2 * (i + t)], values[2 * (i + t) + 1]]),
  );

test("predict takes and gives original units: what a linear model shifts and scales with its data", async () => {
  const run = await create(forecasting());
  await run.train();
  const { prediction } = await run.predict(windows(1));
  // NLinear commutes with shifting every channel by a constant: so must its forecasts.
  const shifted = await run.predict(windows(1).map((w) => w.map(([a, b]) => [a + 7, b - 3])));
  const expected = Array.from(prediction.dataSync(), (v, i) => v + (i % 2 === 0 ? 7 : -3));
  assertClose(shifted.prediction.dataSync(), expected, 1e-4);
  // And it is near the series, far from scaled values.
  const truth = Array.from({ length: 8 }, (_, i) => values[24 + i]);
  const mean = truth.reduce((sum, v, i) => sum + Math.abs(v - prediction.dataSync()[i]), 0) / 8;
  assert.ok(mean < 150, `mean error ${mean}`);
  tf.dispose([prediction, shifted.prediction]);
  run.dispose();
});

test("predict answers the same for any batching, kind of array and number of rows, and keeps no tensor", async () => {
  const run = await create(forecasting({
    model: {
      type: "Mlp",
      params: { inputLength: 12, outputLength: 4, channels: 2, dropout: 0.5 },
    },
  }));
  const nested = windows(13);
  const flat = Float32Array.from(nested.flat(2));
  const tensor = tf.tensor3d(nested);
  const before = tf.memory().numTensors;
  const answers: number[][] = [];
  for (
    const inputs of [
      nested,
      tensor,
      { inputs: tensor },
      { data: flat, shape: [13, 12, 2], dtype: "float32" as const },
      { inputs: { data: flat, shape: [13, 12, 2], dtype: "float32" as const } },
    ]
  ) {
    const { prediction } = await run.predict(inputs);
    assert.deepEqual(prediction.shape, [13, 4, 2]);
    answers.push([...prediction.dataSync()]);
    prediction.dispose();
    assert.equal(tf.memory().numTensors, before);
  }
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  const single = await run.predict(nested.slice(12));
  assertClose(single.prediction.dataSync(), answers[0].slice(-8), 1e-5);
  // The inputs are the caller's: as they were.
  assert.deepEqual([...tensor.dataSync()], [...flat]);
  tf.dispose([single.prediction, tensor]);
  run.dispose();
});

test("predict after training uses the best weights, and leaves the last ones in the model", async () => {
  const run = await create(linearConfig({
    optimizer: { type: "SGD", params: { lr: 3 } },
    train: { iterations: 5, batchSize: 20 },
    validation: { interval: 1 },
  }));
  const inputs = regression(3).fields.inputs;
  const one = async () => {
    const { prediction } = await run.predict({ inputs });
    const out = [...prediction.dataSync()];
    prediction.dispose();
    return out;
  };
  const weight =
    () => [...run.model.parameters.weight.dataSync(), ...run.model.parameters.bias.dataSync()];
  const by = (w: number[]) =>
    Array.from({ length: 6 }, (_, i) => {
      const row = Math.floor(i / 2), c = i % 2;
      return [0, 1, 2].reduce((sum, k) => sum + inputs.data[3 * row + k] * w[2 * k + c], w[6 + c]);
    });
  assertClose(await one(), by(weight()), 1e-6);
  let best: number[] = [];
  run.optimizer.paramGroups[0].lr = 3;
  const step = run.optimizer.applyGradients.bind(run.optimizer);
  run.optimizer.applyGradients = (...args) => {
    step(...args);
    if (best.length === 0) best = weight();
  };
  const { best: chosen } = await run.train();
  assert.equal(chosen!.iteration, 1);
  const last = weight();
  assertClose(await one(), by(best), 1e-6);
  assert.notDeepEqual(best, last);
  assert.deepEqual(weight(), last);
  run.dispose();
});

test("predict: fields by name reach the model; missing cells are 0 in scaled data, with their mask", async () => {
  const seen: Record<string, number[]>[] = [];
  const model = linear((y, batch) => {
    seen.push(Object.fromEntries(Object.entries(batch).map(([k, v]) => [k, [...v.dataSync()]])));
    return y;
  });
  const run = await create(linearConfig({ model: { type: model } }));
  seen.length = 0;
  const answer = await run.predict({ inputs: [[1, NaN, 3]], extra: [[7]] });
  assert.deepEqual(seen[0].inputs, [1, 0, 3]);
  assert.deepEqual(seen[0].extra, [7]);
  assertClose(answer.prediction.dataSync(), [0.3 - 1.5 + 0.05, -0.2 + 0.6 - 0.1], 1e-6);
  run.dispose();

  const scaled = await create(forecasting());
  const gap = windows(1);
  gap[0][3][0] = NaN;
  const { prediction } = await scaled.predict(gap);
  assert.ok(prediction.dataSync().every(Number.isFinite));
  prediction.dispose();
  scaled.dispose();
});

test("predict: imputation fills the gaps and leaves what was observed", async () => {
  for (const scaler of ["zscore", undefined]) {
    const seen: number[][] = [];
    const run = await create(smallConfig({
      task: "imputation",
      model: {
        type: () => {
          const weight = tf.tidy(() => tf.variable(tf.scalar(0)));
          return {
            parameters: { weight },
            forward: ({ inputs, inputsMask }: Record<string, tf.Tensor>) => {
              seen.push([...inputsMask.dataSync()]);
              return tf.add(tf.mul(inputs, weight), 0.5);
            },
          };
        },
      },
      data: {
        type: "ForecastingArray",
        params: {
          values,
          channels: 2,
          inputLength: 12,
          outputLength: 4,
          ...scaler === undefined ? {} : { scaler },
        },
      },
    }));
    seen.length = 0;
    const window = windows(1);
    window[0][2][1] = NaN;
    const { prediction } = await run.predict(window);
    const expected = window[0].flat();
    const by = run.data.scaler;
    expected[5] = by === undefined ? 0.5 : 0.5 * by.scale[1] + by.shift[1];
    assertClose(prediction.dataSync(), expected, 1e-5);
    assert.deepEqual(seen[0], expected.map((_, i) => i === 5 ? 0 : 1));
    prediction.dispose();
    // Without a gap there is a mask too.
    const whole = await run.predict(windows(1));
    assert.deepEqual(seen[1], expected.map(() => 1));
    whole.prediction.dispose();
    run.dispose();
  }
});

test("predict refuses what has no rows, the wrong channels, or is no numbers, in one line", async () => {
  const run = await create(forecasting());
  const rows: [unknown, RegExp][] = [
    [
      tf.zeros([0, 12, 2]),
      /^inputs: must have at least one row on its first axis, received shape \[0,12,2\]$/,
    ],
    [tf.scalar(1), /^inputs: must have at least one row/],
    [
      tf.zeros([1, 12, 3]),
      /^inputs: must have 2 channels on its last axis, received shape \[1,12,3\]$/,
    ],
    [[[1, 2], [3]], /^inputs: must be a tensor or an array of numbers, received /],
    [undefined, /^inputs: must be a tensor or an array of numbers, received undefined/],
    [tf.zeros([1, 11, 2]), /NLinear/],
  ];
  for (const [inputs, message] of rows) {
    await assert.rejects(run.predict(inputs as never), (error: Error) => {
      assert.equal(error.name, "ConfigError", String(error.stack));
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n"), error.message);
      return true;
    });
  }
  run.dispose();
});

test("predict works without training data, and with inputs scaled otherwise than targets", async () => {
  const inputs = new ArrayDataset({
    inputs: { data: new Float32Array(3), shape: [1, 3] },
    targets: { data: new Float32Array(2), shape: [1, 2] },
  });
  const affine = (shift: number, scale: number, channels: number) => ({
    type: "zscore",
    channels,
    shift: Float64Array.of(shift),
    scale: Float64Array.of(scale),
    transform: (v: Float32Array) => v.map((x) => (x - shift) / scale),
    inverse: (v: Float32Array) => v.map((x) => x * scale + shift),
    inverseTensor: (v: tf.Tensor) => tf.add(tf.mul(v, scale), shift),
  });
  const run = await create(linearConfig({
    data: {
      type: () =>
        ({ test: inputs, scaler: affine(100, 10, 2), inputScaler: affine(1, 2, 3) }) as never,
    },
    validation: undefined,
  }));
  const { prediction } = await run.predict([[1, 3, 5]]);
  // Scaled inputs 0, 1, 2.
  const y = [0.1 - 2 * 0.5 + 0.05, 0.4 + 2 * 0.2 - 0.1];
  assertClose(prediction.dataSync(), y.map((v) => 100 + 10 * v), 1e-5);
  prediction.dispose();
  await assert.rejects(run.train(), { name: "ConfigError", message: "data: has no training part" });
  await assert.rejects(run.validate(), {
    name: "ConfigError",
    message: "data: has no validation part",
  });
  run.dispose();
});
