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
    "deviceGradients alone",
    linearConfig({ callbacks: ["ProgressBar", deviceOnly] }),
    /^callbacks\[1\]: Device has deviceGradients, .*, without gradients; give it both$/,
  ],
];

for (const [what, config, message] of rows) {
  test(`create refuses ${what}`, async () => {
    await assert.rejects(IterationRunner.create(config, { output: new Lines() }), {
      name: "ConfigError",
      message,
    });
  });
}

test("create takes the same settings where they have an effect", async () => {
  const accepted = [
    streamed({}),
    streamed({ shuffle: false }),
    linearConfig({ train: { iterations: 2, overfitBatches: 1 } }),
    linearConfig({ rescale: true, test: { savePredictions: true }, checkpoint: {} }),
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
