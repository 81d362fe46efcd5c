import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ArrayDataset } from "./array_dataset.ts";
import type { DataContext, DataSplits, HostBatch } from "./dataset.ts";
import { buildData, type DataConfig, registerDataset } from "./registry.ts";

const context: DataContext = { baseDirectory: ".", seed: 1 };
const x = { data: Float32Array.of(1, 2, 3), shape: [3] };

test("buildData() makes array splits with their task", async () => {
  const params = { train: { inputs: x }, test: { inputs: x }, task: "classification" };
  const splits = await buildData({ type: "ArrayDataset", params }, context);
  assert.deepEqual([splits.train !== undefined, splits.validation, splits.task], [
    true,
    undefined,
    "classification",
  ]);
  assert.deepEqual([...((await splits.test?.gather([2])) as HostBatch).inputs.data], [3]);
});

test("buildData() resolves a relative path against the context's folder", async () => {
  const folder = mkdtempSync(join(tmpdir(), "downhill-data-"));
  try {
    writeFileSync(join(folder, "a.csv"), `a\n${[1, 2, 3, 4, 5, 6].join("\n")}\n`);
    const params = {
      path: "a.csv",
      inputLength: 2,
      outputLength: 1,
      split: [4, 1, 1],
      scaler: null,
    };
    const splits = await buildData({ type: "forecastingcsv", params }, {
      baseDirectory: folder,
      seed: 1,
    });
    const batch = (await splits.test?.gather([0])) as HostBatch;
    assert.deepEqual([[...batch.inputs.data], [...batch.targets.data]], [[4, 5], [6]]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("buildData() takes registered names, functions and classes", async () => {
  class Mine implements DataSplits {
    readonly train: ArrayDataset;
    constructor(params: Record<string, unknown>, readonly context: DataContext) {
      this.train = new ArrayDataset({ x }).subset(0, params.size as number);
    }
  }
  registerDataset("Mine", Mine);
  const types: DataConfig["type"][] = [
    "Mine",
    Mine,
    (params, at) => Promise.resolve(new Mine(params, at)),
  ];
  for (const type of types) {
    const splits = (await buildData({ type, params: { size: 2 } }, context, "d")) as Mine;
    assert.equal(splits.train.length, 2);
    assert.deepEqual(splits.context, { ...context, path: "d.params" });
  }
  const open = () => [{ x: 1 }];
  assert.equal(
    (await buildData({ type: () => ({ train: { open } }) }, context)).train !== undefined,
    true,
  );
});

test("buildData() refuses unknown names, wrong params and wrong results in one line", async () => {
  const make = (result: unknown) => ({ type: () => result }) as DataConfig;
  const rows: [unknown, RegExp][] = [
    [
      { type: "ForcastingCsv" },
      /^data\.type: unknown data set "ForcastingCsv"; did you mean 'ForecastingCsv'\?/,
    ],
    [
      { type: 3 },
      /^data\.type: must be a registered name \(or, in a program, a class or function\), received 3$/,
    ],
    [
      { type: "ArrayDataset" },
      /^data\.type: ArrayDataset must make at least one of train, validation and test/,
    ],
    [
      { type: "ArrayDataset", params: { trian: {} } },
      /^data\.params\.trian: unknown option "trian" for ArrayDataset; did you mean 'train'/,
    ],
    [
      { type: "ArrayDataset", params: { train: { x }, test: { x: { ...x, dytpe: "int32" } } } },
      /^data\.params\.test: field "x": unknown option "dytpe"; did you mean 'dtype'\?/,
    ],
    [{ type: "ForecastingArray", params: { channels: 1 } }, /^data\.params\.values: /],
    [make(null), /^data\.type: function type must make an object .* received null$/],
    [
      make({ train: {} }),
      /^data\.type: .* must make a data set \(length, gather\) as train, received \{\}$/,
    ],
    [make({ test: { open: () => [] } }), /must make a data set \(length, gather\) as test/],
    [make({ train: new ArrayDataset({ x }), task: "sorting" }), /as task, received "sorting"$/],
  ];
  for (const [config, message] of rows) {
    await assert.rejects(buildData(config as DataConfig, context), (error: Error) => {
      assert.match(error.name, /^(Config|Data)Error$/);
      assert.match(error.message, message);
      return true;
    });
  }
});
