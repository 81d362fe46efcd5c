/** The form of the data stands beside the weights: predict reads inputs as training did, without the data. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { IterationRunner, type Model, type RunConfig, tf } from "../../mod.ts";
import { assertClose } from "../support/close.ts";
import { Lines, series, smallConfig, trainOnce, withFolder } from "../support/runs.ts";

const create = (config: RunConfig, purpose: "train" | "predict" = "train") =>
  IterationRunner.create(config, { output: new Lines(), purpose });

const NULL = -999;
const lengths = { inputLength: 12, outputLength: 4 };

/** One window of the series, with `cells` in place of some. */
function window(cells: Record<number, number> = {}): number[][][] {
  const flat = Array.from(series(12), (v, i) => cells[i] ?? v);
  return [Array.from({ length: 12 }, (_, t) => flat.slice(2 * t, 2 * t + 2))];
}

/** A model that keeps the inputs and masks it was shown, and answers 0. */
function watching(seen: { inputs: number[]; mask?: number[] }[]): () => Model {
  return () => {
    const weight = tf.tidy(() => tf.variable(tf.scalar(0)));
    return {
      parameters: { weight },
      forward: ({ inputs, inputsMask }) => {
        seen.push({
          inputs: [...inputs.dataSync()],
          ...inputsMask === undefined ? {} : { mask: [...inputsMask.dataSync()] },
        });
        return tf.mul(tf.slice(inputs, [0, 0, 0], [-1, 4, -1]), weight);
      },
    };
  };
}

test("predict: a null value is a missing cell as in the loader, scaled or not, as int or float", async () => {
  const holed = series(160).map((v, i) => i % 17 === 3 ? NULL : v);
  for (const scaler of ["zscore", null]) {
    const seen: { inputs: number[]; mask?: number[] }[] = [];
    const run = await create(smallConfig({
      model: { type: watching(seen) },
      data: {
        type: "ForecastingArray",
        params: { values: holed, channels: 2, ...lengths, nullValue: NULL, scaler },
      },
    }));
    // Near -999 within 5e-5 + 1e-5 * 999 is missing, further away is a number.
    const gaps = [{ 5: NaN, 8: NaN }, { 5: NULL, 8: NULL + 0.005 }];
    seen.length = 0;
    for (const cells of gaps) tf.dispose(Object.values(await run.predict(window(cells))));
    const [nan, given] = seen;
    assert.deepEqual(given, nan);
    assert.deepEqual([given.inputs[5], given.inputs[8]], [0, 0]);
    assert.deepEqual(given.mask, given.inputs.map((_, i) => i === 5 || i === 8 ? 0 : 1));
    // What training shows of the same rows.
    const { inputs, inputsMask } = (run.data.train as never as {
      gather(i: number[]): Record<string, { data: Float32Array }>;
    }).gather([0]);
    seen.length = 0;
    const raw = Array.from(
      { length: 12 },
      (_, t) => [holed[2 * t], holed[2 * t + 1]],
    );
    tf.dispose(Object.values(await run.predict([raw])));
    assert.deepEqual(seen[0], { inputs: [...inputs.data], mask: [...inputsMask.data] });
    // A window without a gap has a mask too, as every batch of training had.
    seen.length = 0;
    tf.dispose(Object.values(await run.predict(window())));
    assert.deepEqual(seen[0].mask, seen[0].inputs.map(() => 1));
    // Integers too.
    seen.length = 0;
    const whole = tf.tensor(new Int32Array(24).fill(NULL, 4, 5), [1, 12, 2], "int32");
    tf.dispose([whole, ...Object.values(await run.predict(whole))]);
    assert.deepEqual([seen[0].inputs[4], seen[0].mask![4], seen[0].mask![5]], [0, 0, 1]);
    run.dispose();
  }
});

/** The small run on `values`, in a directory. */
const kept = (values: Float32Array, directory: string, more: object = {}) =>
  smallConfig({
    name: "waves",
    data: { type: "ForecastingArray", params: { values: [...values], channels: 2, ...lengths } },
    checkpoint: { directory },
    ...more,
  });

async function forecast(run: IterationRunner): Promise<number[]> {
  const { prediction } = await run.predict(window());
  const out = [...prediction.dataSync()];
  prediction.dispose();
  return out;
}

test("predict uses the scaler that the weights were trained with when the data have changed", async () => {
  await withFolder(async (directory) => {
    const before = series(160);
    await trainOnce(kept(before, directory));
    const first = await create(kept(before, directory));
    const expected = await forecast(first);
    first.dispose();
    const grown = series(200).map((v, i) => i < 20 ? v + 50 : v);
    const run = await create(kept(grown, directory));
    assert.notDeepEqual([...run.data.scaler!.shift], [...first.data.scaler!.shift]);
    assertClose(await forecast(run), expected, 1e-6);
    for (const call of [() => run.test(), () => run.train(), () => run.restore()]) {
      await assert.rejects(call(), {
        name: "CheckpointError",
        message: /: data\.params\.values\[0\] was 0 in the checkpoint and is 50 in the config; /,
      });
    }
    run.dispose();
  });
});

test("purpose predict: no data is read; the best weights or, without validation, the newest predict", async () => {
  for (const more of [{}, { validation: false, optimizer: { type: "AdamWScheduleFree" } }]) {
    await withFolder(async (directory) => {
      const config = kept(series(160), directory, more);
      await trainOnce(config);
      const whole = await create(config);
      assert.ok(await whole.restore());
      const expected = await forecast(whole);
      whole.dispose();
      const gone = { type: "ForecastingCsv", params: { path: "gone.csv" } };
      const run = await create({ ...config, data: gone }, "predict");
      assertClose(await forecast(run), expected, 1e-7);
      const none = (part: string) => ({
        name: "ConfigError",
        message: `data: has no ${part} part`,
      });
      await assert.rejects(run.train(), none("training"));
      await assert.rejects(run.validate(), none("validation"));
      run.dispose();
    });
  }
  await withFolder(async (directory) => {
    await assert.rejects(create(kept(series(160), directory), "predict"), {
      name: "CheckpointError",
      message: /waves holds no checkpoint; train first$/,
    });
  });
});

test("predict: what is no window of numbers is one line, other kinds of arrays give the same answer", async () => {
  const run = await create(smallConfig());
  const [rows] = window();
  const flat = series(12);
  const expected = await forecast(run);
  const same: [string, unknown][] = [
    ["rows of Float64Array", [rows.map((row) => Float64Array.from(row))]],
    ["rows of Float32Array", [rows.map((row) => Float32Array.from(row))]],
    ["Float64Array with a shape", { data: Float64Array.from(flat), shape: [1, 12, 2] }],
    ["list with a shape", { inputs: { data: [...flat], shape: [1, 12, 2], dtype: "float32" } }],
    ["an unknown field", { inputs: [rows], other: [[1]] }],
    ["a mask of ones", { inputs: [rows], inputsMask: [rows.map(() => [1, 1])] }],
  ];
  for (const [what, inputs] of same) {
    const { prediction } = await run.predict(inputs as never);
    assertClose(prediction.dataSync(), expected, 1e-7, what);
    prediction.dispose();
  }
  // null is a missing cell, as in the data sets.
  const seen = [null, NaN].map((cell) => [rows.map(([a, b], i) => i === 3 ? [cell, b] : [a, b])]);
  const [byNull, byNaN] = await Promise.resolve(seen).then(async ([a, b]) => [
    await run.predict(a as never),
    await run.predict(b as never),
  ]);
  assert.deepEqual([...byNull.prediction.dataSync()], [...byNaN.prediction.dataSync()]);
  tf.dispose([byNull.prediction, byNaN.prediction]);

  const cell = (value: unknown) => [rows.map(([a, b], i) => i === 3 ? [value, b] : [a, b])];
  const gone = tf.zeros([1, 12, 2]);
  gone.dispose();
  const refused: [unknown, RegExp][] = [
    [{ data: flat, shape: [1, 12, 3] }, /shape \[1, 12, 3\] needs 36 values, received 24$/],
    [{ data: flat, shape: [2, 12, 2] }, /shape \[2, 12, 2\] needs 48 values, received 24$/],
    [{ data: flat, shape: [-1, 12, 2] }, /at least one integer >= 0, received \[-1,12,2\]$/],
    [{ data: flat, shape: [1, 12, 2], dtype: "float64" }, /must be one of .*received "float64"$/],
    [{ data: null, shape: [1, 12, 2] }, /data must be .* received null$/],
    [cell("1"), /array of numbers, received .* \(a cell is "1"\)$/],
    [cell(undefined), /\(a cell is undefined\)$/],
    [cell(1n), /\(a cell is 1n\)$/],
    [cell(Infinity), /^inputs: must hold float32 numbers, or NaN where missing, received an inf/],
    [cell(1e39), /received an infinity$/],
    ["abc", /received "abc"/],
    [tf.complex([1], [2]), /\(values of type complex64\)$/],
    [gone, /disposed/],
    [flat, /must have 2 channels on its last axis, received shape \[24\]$/],
    [rows, /NLinear: inputs must be \[batch, 12, 2\]/],
    [[rows.slice(1)], /NLinear: inputs must be \[batch, 12, 2\], received shape \[1,11,2\]/],
    [{ input: [rows] }, /^inputs: must be a tensor or an array of numbers, received \{"input"/],
    [{ inputs: [rows], other: [1, 2] }, /equal first axes, received inputs 1, other 2$/],
    [{ inputs: [rows], other: "x" }, /^other: must be a tensor or an array of numbers/],
  ];
  const before = tf.memory().numTensors;
  for (const [inputs, message] of refused) {
    await assert.rejects(run.predict(inputs as never), (error: Error) => {
      assert.match(error.name, /^(Config|Data)Error$/, error.stack);
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  }
  assert.equal(tf.memory().numTensors, before);
  run.dispose();
});
