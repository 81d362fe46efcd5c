import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../test/support/root.ts";
import { randomStream } from "../core/random.ts";
import type { HostBatch } from "./dataset.ts";
import {
  ForecastingArray,
  type ForecastingArrayOptions,
  ForecastingCsv,
  type WindowDataset,
} from "./forecasting.ts";

/** Row r holds r and 100 + r. */
function ramp(rows: number): Float32Array {
  return Float32Array.from({ length: rows * 2 }, (_, i) => (i % 2) * 100 + Math.floor(i / 2));
}

const small = {
  values: ramp(12),
  channels: 2,
  inputLength: 3,
  outputLength: 2,
  split: [6, 3, 3],
  scaler: null,
} as const;

const numbers = (batch: HostBatch) =>
  Object.fromEntries(Object.entries(batch).map(([name, { data }]) => [name, [...data]]));

test("windows of a part stay in it, but for inputs that reach back; values by hand", () => {
  const data = new ForecastingArray(small);
  assert.deepEqual([data.train?.length, data.validation?.length, data.test?.length], [2, 2, 2]);
  const train = data.train?.gather([1, 0]) as HostBatch;
  assert.deepEqual(train.inputs.shape, [2, 3, 2]);
  assert.deepEqual(train.targets.shape, [2, 2, 2]);
  assert.deepEqual(numbers(train), {
    inputs: [1, 101, 2, 102, 3, 103, 0, 100, 1, 101, 2, 102],
    targets: [4, 104, 5, 105, 3, 103, 4, 104],
  });
  // Validation is rows 6 to 8: its first target is row 6, its inputs rows 3 to 5.
  assert.deepEqual(numbers(data.validation?.gather([0]) as HostBatch), {
    inputs: [3, 103, 4, 104, 5, 105],
    targets: [6, 106, 7, 107],
  });
  assert.deepEqual(numbers(data.test?.gather([1]) as HostBatch), {
    inputs: [7, 107, 8, 108, 9, 109],
    targets: [10, 110, 11, 111],
  });
  assert.throws(
    () => data.test?.gather([2]),
    /a sample index must be an integer in \[0, 2\), received 2/,
  );
});

test("columns, targetColumns, stride and fractions choose what they say", () => {
  const swapped = new ForecastingArray({ ...small, columns: [1, 0], targetColumns: [0] });
  assert.deepEqual(numbers(swapped.train?.gather([0]) as HostBatch), {
    inputs: [100, 0, 101, 1, 102, 2],
    targets: [3, 4],
  });
  const rows: [Partial<ForecastingArrayOptions>, (number | undefined)[]][] = [
    [{ split: [12, 0, 0] }, [8, undefined, undefined]],
    [{ split: [12, 0, 0], stride: 3 }, [3, undefined, undefined]],
    [{ split: [6, 2, 2] }, [2, 1, 1]],
    [{ split: [0, 6, 6] }, [undefined, 2, 5]],
    [{ split: [0.5, 0.25, 0.25] }, [2, 2, 2]],
    [{ split: [0.5, 0.2, 0.3] }, [2, 2, 2]],
    [{ split: [0.5, 0.2, 0.2] }, [2, 1, 1]],
    // 0.7 * 100 and (0.7 + 0.1) * 100 are not 70 and 80 in floating point.
    [{ values: ramp(100), split: undefined }, [66, 9, 19]],
  ];
  for (const [options, lengths] of rows) {
    const { train, validation, test } = new ForecastingArray({ ...small, ...options });
    assert.deepEqual([train?.length, validation?.length, test?.length], lengths);
  }
});

test("gather() equals reading cell by cell, for random shapes", () => {
  const random = randomStream(17);
  for (let round = 0; round < 60; round++) {
    const channels = 1 + random.integer(4);
    const inputLength = 1 + random.integer(6), outputLength = 1 + random.integer(5);
    const stride = 1 + random.integer(3);
    const part = () => outputLength + random.integer(12);
    const split: [number, number, number] = [inputLength + part(), part(), part()];
    const rows = split[0] + split[1] + split[2] + random.integer(3);
    const values = random.uniform(new Float32Array(rows * channels));
    for (let i = 0; i < values.length; i += 1 + random.integer(20)) values[i] = NaN;
    const used = [...random.permutation(channels)].slice(0, 1 + random.integer(channels));
    const targetColumns = used.filter((_, i) => i === 0 || random.integer(2) === 0);
    const data = new ForecastingArray({
      ...{ values, channels, inputLength, outputLength, stride, split, scaler: null },
      ...{ columns: used, targetColumns },
    });
    [data.train, data.validation, data.test].forEach((windows, p) => {
      const start = p === 0 ? inputLength : split[0] + (p === 2 ? split[1] : 0);
      const end = split.slice(0, p + 1).reduce((a, b) => a + b, 0);
      const expected: number[] = [];
      for (let t = start; t + outputLength <= end; t += stride) expected.push(t);
      assert.equal(windows?.length, expected.length);
      const index = random.integer(expected.length);
      const batch = windows?.gather([index]) as HostBatch;
      const check = (name: string, from: number, count: number, columns: readonly number[]) => {
        let k = 0;
        for (let r = from; r < from + count; r++) {
          for (const c of columns) {
            const x = values[r * channels + c];
            assert.equal(batch[name].data[k], Number.isNaN(x) ? 0 : x);
            if (batch[`${name}Mask`] !== undefined) {
              assert.equal(batch[`${name}Mask`].data[k], Number.isNaN(x) ? 0 : 1);
            }
            k++;
          }
        }
        assert.equal(batch[name].data.length, k);
      };
      check("inputs", expected[index] - inputLength, inputLength, used);
      check("targets", expected[index], outputLength, targetColumns);
    });
  }
});

test("the scaler is fitted on the training part, skips missing cells, and targets get theirs", () => {
  const values = Float32Array.of(1, 10, 3, 20, 5, -999, 7, 40, 1000, 1000, -999, 2000);
  const data = new ForecastingArray({
    ...{ values, channels: 2, inputLength: 1, outputLength: 1, split: [4, 2, 0] },
    ...{ nullValue: -999, targetColumns: [1] },
  });
  // Channel 0: mean 4, deviation sqrt(5). Channel 1: 10, 20, 40: mean 70/3, deviation sqrt(1400/9).
  assert.deepEqual([...data.inputScaler?.shift ?? []], [4, 70 / 3]);
  const [scale0, scale1] = data.inputScaler?.scale ?? [];
  assert.ok(
    Math.abs(scale0 - Math.sqrt(5)) < 1e-14 && Math.abs(scale1 - Math.sqrt(1400) / 3) < 1e-14,
  );
  assert.deepEqual([data.scaler?.channels, data.scaler?.shift[0]], [1, 70 / 3]);
  const batch = data.train?.gather([1, 2]) as HostBatch;
  const y = (x: number) => Math.fround((x - 70 / 3) / scale1);
  assert.deepEqual(numbers(batch), {
    inputs: [Math.fround(-1 / scale0), y(20), Math.fround(1 / scale0), 0],
    inputsMask: [1, 1, 1, 0],
    targets: [0, y(40)],
    targetsMask: [0, 1],
  });
  const none = new ForecastingArray({ ...small, scaler: "minmax", perChannel: false });
  assert.deepEqual(Object.keys(none.train?.gather([0]) as HostBatch), ["inputs", "targets"]);
  assert.deepEqual([none.scaler?.shift[0], none.scaler?.scale[0]], [0, 105]);
  assert.equal(values[0], 1);
});

test("nullValue has the tolerance 5e-5 + 1e-5 |null|", () => {
  const values = Float32Array.of(0, 4e-5, 6e-5, -4e-5, 1, 1);
  const options = { values, channels: 1, inputLength: 5, outputLength: 1, scaler: null } as const;
  const data = new ForecastingArray({ ...options, split: [6, 0, 0], nullValue: 0 });
  assert.deepEqual([...(data.train?.gather([0]) as HostBatch).inputsMask.data], [0, 0, 1, 0, 1]);
});

test("naive forecasts: last and same phase, missing cells carried forward", () => {
  const nan = NaN;
  const values = Float32Array.of(
    nan,
    100,
    1,
    nan,
    2,
    102,
    nan,
    103,
    4,
    nan,
    5,
    105,
    nan,
    106,
    7,
    107,
  );
  const data = new ForecastingArray({
    ...{ values, channels: 2, inputLength: 1, outputLength: 3, split: [4, 0, 4] },
    ...{ scaler: null, season: 2 },
  });
  const last = data.naive?.last("test", [1, 0]);
  assert.deepEqual(last?.shape, [2, 3, 2]);
  // t = 5: row 4 is [4, missing -> 103]; t = 4: row 3 is [missing -> 2, 103].
  assert.deepEqual([...last?.data ?? []], [4, 103, 4, 103, 4, 103, 2, 103, 2, 103, 2, 103]);
  // t = 4, season 2: steps 0, 1, 2 read rows 2, 3, 2.
  assert.deepEqual([...data.naive?.seasonal("test", [0]).data ?? []], [2, 102, 2, 103, 2, 102]);
  const first = new ForecastingArray({
    ...small,
    split: [0, 6, 0],
    inputLength: 1,
    targetColumns: [1],
  });
  assert.deepEqual([...first.naive?.last("validation", [0]).data ?? []], [100, 100]);
  const unseen = new ForecastingArray({
    ...{ values: Float32Array.of(nan, 1, 2), channels: 1, inputLength: 1, outputLength: 1 },
    ...{ split: [0, 3, 0], scaler: null },
  });
  assert.deepEqual([...unseen.naive?.last("validation", [0]).data ?? []], [0]);
  assert.throws(() => data.naive?.last("validation", [0]), /there is no validation part/);
});

test("imputation: the targets are the input window, which stays in its part", () => {
  const data = new ForecastingArray({ ...small, outputLength: undefined, task: "imputation" });
  assert.deepEqual([data.train?.length, data.validation?.length, data.test?.length], [4, 1, 1]);
  assert.deepEqual(numbers(data.validation?.gather([0]) as HostBatch), {
    inputs: [6, 106, 7, 107, 8, 108],
    targets: [6, 106, 7, 107, 8, 108],
  });
  assert.equal(data.naive, undefined);
});

test("time stamps become calendar features beside inputs and targets", () => {
  const hours = Array.from({ length: 12 }, (_, h) => 1467331200000 + h * 3600_000);
  const data = new ForecastingArray({
    ...small,
    times: hours,
    timeFeatures: ["timeOfDay", "dayOfWeek"],
  });
  const batch = data.validation?.gather([0]) as HostBatch;
  const at = (...rows: number[]) => rows.flatMap((h) => [Math.fround(h / 24), Math.fround(4 / 7)]);
  assert.deepEqual(batch.inputsTime.shape, [1, 3, 2]);
  assert.deepEqual([...batch.inputsTime.data], at(3, 4, 5));
  assert.deepEqual([...batch.targetsTime.data], at(6, 7));
});

test("options are refused in one line with path, rule and value", () => {
  const rows: [Record<string, unknown>, string][] = [
    [{ inputLength: 0 }, "data.params.inputLength: must be an integer >= 1, received 0"],
    [{ outputLength: 0 }, "data.params.outputLength: must be an integer >= 1, received 0"],
    [{ outputLength: undefined }, "data.params.outputLength: is required: must be an integer >= 1"],
    [{ task: "imputation" }, "data.params.outputLength: must be 0 for imputation, received 2"],
    [{ scaler: "z" }, 'data.params.scaler: must be "zscore", "minmax" or null, received "z"'],
    [{ split: [12, 1, 0] }, "data.params.split: needs 13 rows, values has 12"],
    [
      { split: [0.9, 0.2, 0.1] },
      "data.params.split: must be three row counts, or three fractions with a sum of at most 1, received [0.9,0.2,0.1]",
    ],
    [
      { split: [4, 4, 4] },
      "data.params.split: leaves the training part 4 rows (and 0 before it), too few for one window of 3 + 2 rows",
    ],
    [
      { split: [6, 1, 5] },
      "data.params.split: leaves the validation part 1 rows (and 3 before it), too few for one window of 3 + 2 rows",
    ],
    [
      { split: [0, 6, 6], scaler: "zscore" },
      "data.params.split: must have a training part to fit the scaler to, received [0,6,6]",
    ],
    [
      { season: 7 },
      "data.params.season: must be at most 6, the rows before the first target to evaluate, received 7",
    ],
    [
      { timeFeatures: ["dayOfWeek"] },
      'data.params.timeFeatures: needs time stamps, values has none, received ["dayOfWeek"]',
    ],
    [
      { targetColumns: [2] },
      "data.params.targetColumns[0]: must be one of the channels [0,1], received 2",
    ],
    [{ columns: [0, 2] }, "data.params.columns[1]: must be a channel below 2, received 2"],
    [
      { channels: 5 },
      "data.params.values: must have a multiple of channels = 5 values, received 24",
    ],
    [
      { columns: [0, 0] },
      "data.params.columns: must be an array of at least one column, each once, received [0,0]",
    ],
    [
      { times: new Float64Array(12).fill(NaN, 3) },
      "data.params.times[3]: must be a finite number of milliseconds, received NaN",
    ],
    [
      { task: "imputation", outputLength: 0, season: 2 },
      "data.params.season: must be left out for imputation, received 2",
    ],
    [{ times: [0] }, "data.params.times: must have 12 values, received 1"],
  ];
  for (const [options, message] of rows) {
    const params = { ...small, ...options } as ForecastingArrayOptions;
    assert.throws(() => new ForecastingArray(params), { name: "ConfigError", message });
  }
  assert.throws(
    () =>
      new ForecastingArray({
        ...small,
        values: Float32Array.of(1, 2, Infinity, 4),
        split: [2, 0, 0],
      }),
    {
      message:
        "values: row 1, channel 0: must be a float32 number, or NaN where missing, received Infinity",
    },
  );
});

test("a series names the column and the line that cannot be used", () => {
  const csv = (cell: (row: number) => string, hour = (row: number) => row) =>
    `date,a,b\n${
      Array.from({ length: 12 }, (_, r) => `2020-01-0${1 + hour(r)},${r},${cell(r)}\n`).join("")
    }`;
  const day = (row: number) => row % 9;
  const rows: [content: string, more: object, message: RegExp][] = [
    [
      csv((r) => r < 6 ? "" : `${r}`, () => 0),
      {},
      /^content: column "b" has no observed value in the training part; leave it out of data\.params\.columns$/,
    ],
    [
      csv((r) => r < 6 ? "NaN" : `${r}`, () => 0),
      { scaler: null },
      /^content: column "b" has no observed value in the training part/,
    ],
    [csv(String, day), {}, /^content:11: must be in order of time, received 2020-01-01T/],
    [
      csv((r) => r === 4 ? "1e39" : "1"),
      {},
      /^content:6:3 b: must be a float32 number, rec.*"1e39"$/,
    ],
  ];
  for (const [content, more, message] of rows) {
    const split: [number, number, number] = [6, 3, 3];
    const params = { content, inputLength: 3, outputLength: 2, split, ...more };
    assert.throws(
      () => new ForecastingCsv(params),
      {
        name: "DataError",
        message,
      },
    );
  }
  const values = Float32Array.from({ length: 24 }, (_, i) => i % 2 === 1 && i < 12 ? -1 : i);
  assert.throws(
    () => new ForecastingArray({ ...small, values, channels: 2, split: [6, 3, 3], nullValue: -1 }),
    /^DataError: values: channel 1 has no observed value in the training part/,
  );
});

test("ForecastingCsv reads columns by name, in torch spelling too", () => {
  const lines = Array.from(
    { length: 12 },
    (_, r) => `2020-01-01 ${r}:00,${r},${r === 4 ? "" : 100 + r}`,
  );
  const content = `date,a,b\n${lines.join("\n")}\n`;
  const data = new ForecastingCsv(
    {
      ...{ content, input_length: 3, output_length: 2, split: [6, 3, 3], scaler: null },
      ...{ target_columns: ["b"], timeFeatures: ["timeOfDay"] },
    } as unknown as ConstructorParameters<typeof ForecastingCsv>[0],
  );
  assert.deepEqual(data.columns, ["a", "b"]);
  const batch = data.train?.gather([1]) as HostBatch;
  assert.deepEqual(numbers(batch), {
    inputs: [1, 101, 2, 102, 3, 103],
    targets: [0, 105],
    inputsMask: [1, 1, 1, 1, 1, 1],
    targetsMask: [0, 1],
    inputsTime: [1, 2, 3].map((h) => Math.fround(h / 24)),
    targetsTime: [4, 5].map((h) => Math.fround(h / 24)),
  });
  const options = { content, inputLength: 3, outputLength: 2 };
  assert.throws(() => new ForecastingCsv({ ...options, targetColumns: ["c"] }), {
    name: "ConfigError",
    message:
      `data.params.targetColumns[0]: must be a value column, received "c"; did you mean 'a'? known: a, b`,
  });
  assert.throws(
    () => new ForecastingCsv({ ...options, path: "a.csv" }),
    /data\.params\.content: must be left out/,
  );
  assert.throws(
    () => new ForecastingCsv({ inputLength: 3, outputLength: 2 }),
    /data\.params\.path: is required/,
  );
});

test("ETTh1 336 -> 96 has the window counts and statistics of the published tables", (t) => {
  const path = join(root, "../shared/data/ETTh1.csv");
  if (!existsSync(path)) return t.skip("no ../shared/data/ETTh1.csv");
  const data = new ForecastingCsv({
    path,
    inputLength: 336,
    outputLength: 96,
    split: [8640, 2880, 2880],
  });
  assert.deepEqual(data.columns, ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]);
  assert.deepEqual([data.train?.length, data.validation?.length, data.test?.length], [
    8209,
    2785,
    2785,
  ]);
  const close = (found: Float64Array | undefined, expected: number[]) =>
    expected.forEach((x, i) =>
      assert.ok(Math.abs((found?.[i] ?? NaN) - x) < 1e-11, `${found?.[i]} ${x}`)
    );
  // numpy, float64 mean and std of the float32 training rows.
  close(data.scaler?.shift, [
    ...[7.937742245659508, 2.0210386567335163, 5.079770601157927, 0.7461858799957015],
    ...[2.781762386375555, 0.7884531235540096, 17.1282616982271],
  ]);
  close(data.scaler?.scale, [
    ...[5.812749409143761, 2.0901046504075986, 5.518793579036249, 1.9263792741329897],
    ...[1.0235226594952223, 0.6302366362251974, 9.176491024944383],
  ]);
  const windows = data.test as WindowDataset;
  assert.equal(windows.rowAt(2784) + 96, 14400);
});
