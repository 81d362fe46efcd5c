/** Settings that would have no effect are refused by `create`, in one line. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, IterationRunner, type Model, type RunConfig, tf } from "../../mod.ts";
import { linear, linearConfig, regression } from "../runner/support.ts";
import { Lines, type Overrides, series, smallConfig } from "../support/runs.ts";

const stream = {
  *open() {
    for (let i = 0; i < 9; i++) {
      const { inputs, targets } = regression(1, { from: i }).fields;
      yield { inputs: { ...inputs, shape: [3] }, targets: { ...targets, shape: [2] } };
    }
  },
};
const streamed = (train: Record<string, unknown>): RunConfig =>
  linearConfig({ train: { iterations: 2, batchSize: 4, ...train } }, { train: stream });

const waves = (params: Record<string, unknown>, more: Overrides): RunConfig =>
  smallConfig({
    data: {
      type: "ForecastingArray",
      params: { values: series(160), channels: 2, inputLength: 12, outputLength: 4, ...params },
    },
    model: { type: linear() },
    ...more,
  });

const deviceOnly: Callback = { name: "Device", deviceGradients: (value) => value };
const hooked = (methods: object): object => ({ name: "Own", ...methods });
/** Methods that are no hooks, and far enough from them. */
const helpful = hooked({
  stats() {},
  value() {},
  loaded() {},
  _log() {},
  lossOf() {},
  evaluate() {},
});
class Late {
  readonly name = "Late";
  iteratonEnd(): void {}
}
const both: Callback = { ...deviceOnly, gradients: (value) => value };
const asked = { resume: "required", directory: "unused" };

const rows: [what: string, config: RunConfig, message: RegExp][] = [
  [
    "shuffle of a stream",
    streamed({ shuffle: true }),
    /^train\.shuffle: must not be true for a stream, which has an order of its own$/,
  ],
  [
    "shuffle with overfitBatches",
    linearConfig({ train: { iterations: 2, shuffle: true, overfitBatches: 1 } }),
    /^train\.shuffle: must not be true for train\.overfitBatches, which keeps an order of its own$/,
  ],
  [
    "ratio of another task",
    linearConfig({ task: { type: "forecasting", params: { ratio: 0.5 } } }),
    /^task\.params\.ratio: unknown option "ratio" for forecasting/,
  ],
  [
    "the Checkpoint callback without a directory",
    linearConfig({ checkpoint: false, callbacks: ["ProgressBar", "Checkpoint"] }),
    /^callbacks\[1\]: Checkpoint needs a run directory, but checkpoint is false$/,
  ],
  [
    "predictions without a directory",
    linearConfig({ checkpoint: false, test: { savePredictions: true } }),
    /^test\.savePredictions: needs a run directory, but checkpoint is false$/,
  ],
  [
    "resume in a fastDevRun",
    linearConfig({ train: { iterations: 2, fastDevRun: true }, checkpoint: asked }),
    /^checkpoint\.resume: must not be "required" with train\.fastDevRun, /,
  ],
  [
    "rescale of labels",
    linearConfig({ task: "classification", rescale: true }),
    /^rescale: must not be true for classification: labels have no units$/,
  ],
  [
    "target columns of imputation",
    waves({ task: "imputation", outputLength: 0, targetColumns: [0] }, {}),
    /^data\.params\.targetColumns: must be left out for imputation, which fills in every column$/,
  ],
  [
    "target columns where the config asks for imputation",
    waves({ target_columns: [0] }, { task: "imputation" }),
    /^data\.params\.target_columns: must be left out for imputation, which fills in every column$/,
  ],
  [
    "rescale without a scaler",
    waves({ scaler: null }, { rescale: true }),
    /^rescale: must not be true for data without a scaler$/,
  ],
  [
    "predictions of a fastDevRun",
    linearConfig({
      train: { iterations: 2, fastDevRun: true },
      checkpoint: {},
      test: { savePredictions: true },
    }),
    /^test\.savePredictions: must not be true with train\.fastDevRun, which writes nothing$/,
  ],
  [
    "an interval of validation without its data",
    linearConfig({ validation: { interval: 2 } }, { validation: undefined }),
    /^validation\.interval: must be left out: the data have no validation part$/,
  ],
  [
    "sanity batches without their data",
    linearConfig({ validation: { interval: undefined, sanity: 2 } }, { validation: undefined }),
    /^validation\.sanity: must be left out: the data have no validation part$/,
  ],
  [
    "horizons without test data",
    linearConfig({ test: { batch_size: 2, horizons: [1] } }, { test: undefined }),
    /^test\.horizons: must be left out: the data have no test part$/,
  ],
  [
    "predictions without test data",
    linearConfig({ test: { savePredictions: true }, checkpoint: {} }, { test: undefined }),
    /^test\.savePredictions: must be left out: the data have no test part$/,
  ],
  [
    "best without validation",
    linearConfig({ best: { monitor: "val/loss" }, validation: false }),
    /^best: needs validation, which is false or has no data$/,
  ],
  [
    "a misspelt hook of a class",
    linearConfig({ callbacks: ["ProgressBar", new Late()] }),
    /^callbacks\[1\]: Late has no hook "iteratonEnd"; did you mean 'iterationEnd'\?$/,
  ],
  [
    "a hook in another library's spelling",
    linearConfig({ callbacks: [hooked({ on_train_start() {} })] }),
    /^callbacks\[0\]: Own has no hook "on_train_start"; did you mean 'trainStart'\?$/,
  ],
  [
    "a callback without a name",
    linearConfig({ callbacks: ["ProgressBar", { updateEnd() {} }] }),
    /^callbacks\[1\]\.name: is required: must be a non-empty string that no other callback has$/,
  ],
  [
    "a callback whose name is empty",
    linearConfig({ callbacks: [{ name: "", updateEnd() {} }] }),
    /^callbacks\[0\]\.name: must be a non-empty string that no other callback has, received ""$/,
  ],
  [
    "a function that makes no callback",
    linearConfig({ callbacks: [{ type: () => null }] }),
    /^callbacks\[0\]: must be a callback with a name, received null$/,
  ],
  [
    "a short hook in another case",
    linearConfig({ callbacks: [{ type: () => hooked({ setUp() {} }) }] }),
    /^callbacks\[0\]: Own has no hook "setUp"; did you mean 'setup'\?$/,
  ],
  [
    "a field key that is misspelt",
    smallConfig({
      data: {
        type: "ArrayDataset",
        params: { train: { inputs: { data: [1], shape: [1], dytpe: "int32" } } },
      },
    }),
    /^data\.params\.train: field "inputs": unknown option "dytpe"; did you mean 'dtype'\? known: /,
  ],
  [
    "deviceGradients alone",
    linearConfig({ callbacks: ["ProgressBar", deviceOnly] }),
    /^callbacks\[1\]: Device has deviceGradients, .*, without gradients; give it both$/,
  ],
];

for (const [what, config, message] of rows) {
  test(`create refuses ${what}`, async () => {
    await assert.rejects(IterationRunner.create(config, { output: new Lines() }), {
      name: /^(Config|Data)Error$/,
      message,
    });
  });
}

const options: [object, RegExp][] = [
  [
    { ouput: new Lines() },
    /^options\.ouput: unknown option "ouput" for create; did you mean 'output'/,
  ],
  [
    { purpose: "training" },
    /^options\.purpose: must be one of "train", "test", "predict", received "training"$/,
  ],
  [{ output: {} }, /^options\.output: must be an object with line\(\), received \{\}$/],
  [{ imports: "x.ts" }, /^options\.imports: must be an array of module specifiers, rec.* "x\.ts"$/],
  [
    { imports: ["file:///x.js", "./x.js"] },
    /^options\.imports\[1\]: must not be relative: .*; pass new URL\("\.\/x\.js", import\.meta\.url\)\.href, received "\.\/x\.js"$/,
  ],
  [
    { imports: [new URL("file:///x.js")] },
    /^options\.imports\[0\]: must be a module specifier \(of a URL: its href\), received "file:\/\/\/x\.js"$/,
  ],
];

test("create refuses options that it does not know", async () => {
  for (const [given, message] of options) {
    await assert.rejects(IterationRunner.create(linearConfig(), given), {
      name: "ConfigError",
      message,
    });
  }
});

test("create takes the same settings where they have an effect", async () => {
  const accepted = [
    streamed({}),
    streamed({ shuffle: false }),
    linearConfig({ train: { iterations: 2, overfitBatches: 1 } }),
    linearConfig({ test: { savePredictions: true }, checkpoint: {} }),
    smallConfig({ rescale: true }),
    linearConfig(
      { validation: { interval: undefined, sanity: undefined }, test: { batchSize: 3 } },
      {
        validation: undefined,
        test: undefined,
      },
    ),
    linearConfig({ callbacks: [helpful] }),
    linearConfig({
      train: { iterations: 2, fastDevRun: true },
      checkpoint: {},
      callbacks: ["Checkpoint"],
    }),
    linearConfig({ callbacks: [both] }),
    waves({}, {
      task: { type: "imputation", params: { ratio: 0.5 } },
      model: { type: scaled },
    }),
  ];
  for (const config of accepted) {
    (await IterationRunner.create(config, { output: new Lines() })).dispose();
  }
});

/** prediction = inputs * weight. */
function scaled(): Model {
  const weight = tf.tidy(() => tf.variable(tf.scalar(1)));
  return { parameters: { weight }, forward: ({ inputs }) => tf.mul(inputs, weight) };
}
