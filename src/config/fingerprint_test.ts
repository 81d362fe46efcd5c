import { strict as assert } from "node:assert";
import { test } from "node:test";
import { smallConfig } from "../../test/support/runs.ts";
import { EarlyStopping } from "../runner/callbacks/early_stopping.ts";
import { canonicalJson, fingerprintOf, plainCopy, runName } from "./fingerprint.ts";
import { resolveConfig, type RunConfig } from "./schema.ts";

const config = (overrides: Parameters<typeof smallConfig>[0] = {}): RunConfig =>
  smallConfig(overrides);

const nameOf = (overrides: Parameters<typeof smallConfig>[0] = {}): Promise<string> =>
  runName(resolveConfig(config(overrides)));

test("runName is model-data-hash8, equal for equal configs in any spelling and order", async () => {
  const name = await nameOf();
  assert.match(name, /^nlinear-forecastingarray-[0-9a-f]{8}$/);
  const { train, model, ...rest } = config() as unknown as Record<string, Record<string, unknown>>;
  const spelt = {
    train: { batch_size: train.batchSize, iterations: train.iterations },
    model: { PARAM: model.params, TYPE: model.type },
    ...rest,
  };
  assert.equal(await runName(resolveConfig(spelt)), name);
  // What changes no result, or is asked for again later, keeps the directory.
  const same: Parameters<typeof smallConfig>[0][] = [
    { $schema: "../config.schema.json" },
    { backend: "wasm" },
    { test: { horizons: [1] } },
    { log: { interval: 3 } },
    { checkpoint: { directory: "elsewhere", resume: "never" } },
    { train: { maxTime: 5 } },
    { callbacks: ["LearningRateMonitor", { type: "progress_bar" }] },
    { validation: { batchSize: 3 } },
  ];
  for (const overrides of same) {
    assert.equal(await nameOf(overrides), name, JSON.stringify(overrides));
  }
});

test("runName differs with everything that changes results", async () => {
  const array = (config().data.params as { values: Float32Array }).values.slice();
  array[5] += 1;
  const rows: Parameters<typeof smallConfig>[0][] = [
    {},
    { seed: 8 },
    { deterministic: true },
    { shards: 2 },
    { loss: "mae" },
    { metrics: ["mae"] },
    { rescale: true },
    { optimizer: { type: "AdamW", params: { lr: 0.02 } } },
    { optimizer: { type: "Adam", params: { lr: 0.01 } } },
    { optimizer: { type: "AdamW", params: { lr: 0.01 }, noDecay: "auto" } },
    { scheduler: { type: "StepLR", params: { step_size: 2 } } },
    { train: { iterations: 11 } },
    { train: { batchSize: 4 } },
    { train: { accumulate: 2 } },
    { train: { clipGrad: { max_norm: 1 } } },
    { train: { nonFinite: "skip" } },
    { validation: false },
    { validation: { interval: 2 } },
    { best: { monitor: "val/mae" } },
    { earlyStopping: { patience: 2 } },
    { earlyStopping: { patience: 3 } },
    { callbacks: ["EarlyStopping"] },
    { callbacks: [{ type: "EarlyStopping", params: { patience: 2 } }] },
    { callbacks: ["EMA"] },
    {
      data: {
        type: "ForecastingArray",
        params: { values: array, channels: 2, inputLength: 12, outputLength: 4 },
      },
    },
  ];
  const names = await Promise.all(rows.map(nameOf));
  const seen = new Map<string, number>();
  names.forEach((name, i) => {
    const other = seen.get(name);
    assert.equal(
      other,
      undefined,
      `${JSON.stringify(rows[i])} and ${JSON.stringify(rows[other!])}`,
    );
    seen.set(name, i);
  });
});

test("runName of components of a program is a file name", async () => {
  const long = Object.defineProperty(() => {}, "name", { value: "Ж".repeat(9) + "A".repeat(200) });
  const rows: [unknown, RegExp][] = [
    [class TinyNet {}, /^tinynet-forecastingarray-[0-9a-f]{8}$/],
    [long, /^a{40}-forecastingarray-[0-9a-f]{8}$/],
    [(() => () => {})(), /^custom-forecastingarray-[0-9a-f]{8}$/],
  ];
  for (const [type, expected] of rows) {
    assert.match(await nameOf({ model: { type: type as never } }), expected);
  }
});

test("fingerprintOf leaves out reports and stops, however they are given", () => {
  const plain = fingerprintOf(resolveConfig(config()));
  const rows: unknown[][] = [
    ["EarlyStopping", "TensorBoard"],
    [{ type: "earlystopping", params: { patience: 3 } }],
    [new EarlyStopping()],
    [EarlyStopping],
    [{ TYPE: "LearningRateMonitor" }],
  ];
  for (const callbacks of rows) {
    assert.deepEqual(
      fingerprintOf(resolveConfig(config({ callbacks: callbacks as never }))),
      plain,
    );
  }
  const averaged = fingerprintOf(resolveConfig(config({ callbacks: ["EMA"] })));
  assert.deepEqual(averaged.callbacks, ["EMA"]);
});

test("canonicalJson sorts keys and writes what JSON has no word for", () => {
  assert.equal(
    canonicalJson({ b: [NaN, -Infinity], a: { d: undefined, c: null } }),
    '{"a":{"c":null},"b":["NaN","-Infinity"]}',
  );
  const copy = plainCopy(JSON.parse('{"__proto__":{"x":1}}')) as Record<string, unknown>;
  assert.ok(Object.hasOwn(copy, "__proto__"));
  assert.equal(copy.x, undefined);
});
