/** Configs whose parts are right and do not go together, and names that nothing has. */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  ClipGradients,
  EarlyStopping,
  IterationRunner,
  type RunConfig,
  selectBackend,
  tf,
} from "../../mod.ts";
import { Lines, type Overrides, series, smallConfig, withFolder } from "../support/runs.ts";
import { deepFreeze } from "./bad_values.ts";

const windows = { inputLength: 12, outputLength: 4 };

/** ForecastingArray with other params. */
const array = (params: Record<string, unknown>): Overrides => ({
  data: {
    type: "ForecastingArray",
    params: { values: series(160), channels: 2, ...windows, ...params },
  },
});

/** ForecastingCsv of a text. */
const csv = (content: string, params: Record<string, unknown> = {}): Overrides => ({
  data: { type: "ForecastingCsv", params: { content, ...windows, ...params } },
});

const model = (type: string, params: Record<string, unknown>): Overrides => ({
  model: { type, params },
});

const layers = (...list: Record<string, unknown>[]): Overrides =>
  model("Layers", {
    json: {
      class_name: "Sequential",
      config: {
        name: "layers",
        layers: list.map((config, i) => ({
          class_name: "Dense",
          config: { name: `d${i}`, ...config },
        })),
      },
    },
  });

const optimizer = (rest: Record<string, unknown>): Overrides => ({
  optimizer: { type: "AdamW", ...rest },
});

const parsed = (json: string): never => JSON.parse(json) as never;

const clip = { type: "ClipGradients", params: { max_norm: 1 } };
const twoParts = {
  train: {
    inputs: { data: [1, 2, 3, 4], shape: [2, 2] },
    targets: { data: [1, 2], shape: [2, 1] },
  },
  validation: {
    inputs: { data: [1, 2, 3, 4, 5, 6], shape: [2, 3] },
    targets: { data: [1, 2], shape: [2, 1] },
  },
};

const rows: [what: string, overrides: Overrides, message: RegExp][] = [
  // Given twice.
  [
    "clipGrad and its callback",
    { train: { clipGrad: { max_norm: 1 } }, callbacks: [clip] },
    /^train\.clipGrad: is shorthand for the callback ClipGradients, .*give one of them$/,
  ],
  ["clipGrad and its alias", {
    train: { clipGrad: { max_norm: 1 } },
    callbacks: [{ ...clip, type: "GradientClipping" }],
  }, /^train\.clipGrad: is shorthand for the callback ClipGradients/],
  ["clipGrad and a made callback", {
    train: { clipGrad: { max_norm: 1 } },
    callbacks: [new ClipGradients({ max_norm: 1 })],
  }, /^train\.clipGrad: is shorthand for the callback ClipGradients/],
  [
    "both clips",
    { train: { clipGrad: { max_norm: 1, clip_value: 1 } } },
    /^train\.clipGrad: must have max_norm or clip_value, received both$/,
  ],
  [
    "earlyStopping and its callback",
    { earlyStopping: {}, callbacks: ["EarlyStopping"] },
    /^earlyStopping: is shorthand for the callback EarlyStopping/,
  ],
  [
    "earlyStopping and a made callback",
    { earlyStopping: {}, callbacks: [new EarlyStopping()] },
    /^earlyStopping: is shorthand for the callback EarlyStopping/,
  ],
  [
    "checkpoint and its callback",
    { checkpoint: { interval: 5 }, callbacks: ["Checkpoint"] },
    /^checkpoint: is shorthand for the callback Checkpoint/,
  ],
  [
    "a callback twice",
    { callbacks: ["EarlyStopping", { type: "earlystopping" }] },
    /^callbacks\[1\]: must have a name of its own, received "EarlyStopping" twice$/,
  ],
  [
    "torch and camel",
    optimizer({ params: { weight_decay: 1, weightDecay: 1 } }),
    /^optimizer\.params\.weightDecay: is the same option as "weight_decay"; .*received both$/,
  ],
  [
    "torch and camel section",
    { early_stopping: {}, earlyStopping: {} } as Overrides,
    /^earlyStopping: is the same option as "early_stopping"; give one of them, received both$/,
  ],
  [
    "TYPE and type",
    { model: { TYPE: "NLinear", type: "DLinear" } },
    /^model\.TYPE: is the same option as "type"; give one of them, received both$/,
  ],
  [
    "TYPE and type in a list",
    { metrics: [{ TYPE: "mse", type: "mae" }] as never },
    /^metrics\[0\]\.TYPE: is the same option as "type"; give one of them, received both$/,
  ],
  [
    "overfit and limit",
    { train: { overfitBatches: 1, limitBatches: 1 } },
    /^train\.overfitBatches: cannot be combined with train\.limitBatches, received both$/,
  ],
  [
    "a metric twice",
    { metrics: ["mse", "MSE"] },
    /^metrics\[1\]: must not repeat, received "mse" twice$/,
  ],
  ["a horizon twice", { test: { horizons: [1, 1] } }, /^test\.horizons\[1\]: must not repeat/],
  // Numbers that do not go together.
  ["shards > batch", { shards: 9 }, /^shards: must be at most train\.batchSize \(8\), received 9$/],
  [
    "a big integer",
    { model: { type: "Mlp", params: { hidden: 5n } } as never },
    /^model\.params\.hidden: must not be a bigint, received 5n$/,
  ],
  [
    "a symbol",
    { metrics: [Symbol("x")] as never },
    /^metrics\[0\]: must not be a symbol, received Symbol\(x\)$/,
  ],
  [
    "too many workers",
    { workers: 257, shards: 2 },
    /^workers: must be an integer from 1 to 256 or "auto", received 257$/,
  ],
  [
    "a callback without hooks",
    { callbacks: [{ name: "Idle" }] as never },
    /^callbacks\[0\]: must be \{ type, params \}, or a callback with at least one hook, received \{"name":"Idle"\}$/,
  ],
  [
    "no worker",
    { workers: 0 },
    /^workers: must be an integer from 1 to 256 or "auto", received 0$/,
  ],
  ["no iteration to try", {
    train: { iterations: 5, fastDevRun: 0 },
  }, /^train\.fastDevRun: must be true, false or an integer >= 1, received 0$/],
  [
    "workers > batch",
    { workers: 200 },
    /^workers: must be at most train\.batchSize \(8\) unless shards is given, received 200$/,
  ],
  [
    "horizon beyond the target",
    { test: { horizons: [5] } },
    /^test\.horizons\[0\]: must be at most the number of target steps, 4, received 5$/,
  ],
  [
    "dropLast leaves nothing",
    { train: { dropLast: true, batchSize: 1000 } },
    /^train\.dropLast: leaves no batch: there are \d+ training samples, an iteration takes 1000, batchSize \* accumulate$/,
  ],
  // Monitors.
  [
    "best",
    { best: { monitor: "val/rmse" } },
    /^best\.monitor: unknown validation value "val\/rmse"; did you mean 'mse'\? known: loss, mse, mae$/,
  ],
  [
    "best of training",
    { best: { monitor: "train/loss" } },
    /^best\.monitor: unknown validation value "train\/loss"/,
  ],
  [
    "early stopping",
    { earlyStopping: { monitor: "val/nope" } },
    /^earlyStopping\.monitor: unknown validation value "val\/nope"; known: loss, mse, mae$/,
  ],
  [
    "early stopping callback",
    { callbacks: [{ type: "EarlyStopping", params: { monitor: "x" } }] },
    /^callbacks\[0\]\.params\.monitor: unknown validation value "x"/,
  ],
  [
    "early stopping, no validation",
    { validation: false, earlyStopping: {} },
    /^earlyStopping: needs validation, which is false or has no data$/,
  ],
  [
    "early stopping, no data",
    { ...array({ split: [0.7, 0, 0.3] }), callbacks: ["EarlyStopping"] },
    /^callbacks\[0\]\.params: needs validation, which is false or has no data$/,
  ],
  [
    "scheduler",
    { scheduler: { type: "ReduceLROnPlateau", monitor: "val/x" } },
    /^scheduler\.monitor: unknown validation value "val\/x"/,
  ],
  // Names.
  [
    "model",
    model("NLinaer", {}),
    /^model\.type: unknown model "NLinaer"; did you mean 'NLinear'\? known: /,
  ],
  [
    "data",
    { data: { type: "ForcastingCsv" } },
    /^data\.type: unknown data set .*'ForecastingCsv'\?/,
  ],
  [
    "optimizer",
    { optimizer: { type: "AdmaW" } },
    /^optimizer\.type: unknown optimizer .*'AdamW'\?/,
  ],
  [
    "scheduler",
    { scheduler: { type: "StpLR" } },
    /^scheduler\.type: unknown scheduler .*'StepLR'\?/,
  ],
  ["loss", { loss: "mes" }, /^loss: unknown loss "mes"; did you mean 'mse'\? known: /],
  ["loss that is a metric", { loss: "rmse" }, /^loss: "rmse" is not a sum over items.*use 'mse'/],
  [
    "metric",
    { metrics: ["mse", "mea"] },
    /^metrics\[1\]: unknown metric "mea"; did you mean 'mae'\?/,
  ],
  [
    "callback",
    { callbacks: ["ErlyStopping"] },
    /^callbacks\[0\]: unknown callback .*'EarlyStopping'\?/,
  ],
  [
    "task",
    { task: "forcasting" },
    /^task: unknown task "forcasting"; did you mean 'forecasting'\?/,
  ],
  [
    "a name of every object",
    { model: { type: "constructor" } },
    /^model\.type: unknown model "constructor"/,
  ],
  [
    "an optimizer that objects have",
    { optimizer: { type: "constructor" } },
    /^optimizer\.type: unknown optimizer/,
  ],
  ["another such", { optimizer: { type: "__proto__" } }, /^optimizer\.type: unknown optimizer/],
  ["another one", { loss: "__proto__" }, /^loss: unknown loss "__proto__"/],
  // Options of losses and metrics.
  [
    "loss option",
    { loss: { type: "huber", params: { delta: 0 } } },
    /^loss\.params\.delta: must be a number > 0, received 0$/,
  ],
  [
    "loss option name",
    { loss: { type: "huber", params: { dleta: 1 } } },
    /^loss\.params\.dleta: unknown option "dleta" for huber; did you mean 'delta'\?/,
  ],
  [
    "null value",
    { loss: { type: "mae", params: { nullValue: "x" } } },
    /^loss\.params\.nullValue: must be a number or "NaN", received "x"$/,
  ],
  [
    "metric option",
    { metrics: [{ type: "smoothL1", params: { beta: -1 } }] as never },
    /^metrics\[0\]\.params\.beta: must be a number >= 0, received -1$/,
  ],
  [
    "label smoothing",
    { loss: { type: "crossEntropy", params: { label_smoothing: 1 } } },
    /^loss\.params\.label_smoothing: must be a number in \[0, 1\), received 1$/,
  ],
  [
    "task option",
    { task: { type: "imputation", params: { ratio: 2 } } },
    /^task\.params\.ratio: must be a number in \[0, 1\], received 2$/,
  ],
  // Groups of parameters.
  [
    "pattern",
    optimizer({ groups: [{ match: "^zzz", lr: 0.1 }] }),
    /^optimizer\.groups\[0\]\.match: matches no parameter name, received "\^zzz"; names: linear\.weight, linear\.bias$/,
  ],
  [
    "no pattern",
    optimizer({ groups: [{ match: "(", lr: 0.1 }] }),
    /^optimizer\.groups\[0\]\.match: must be a regular expression, received "\("/,
  ],
  [
    "no rule",
    optimizer({ groups: [{ lr: 0.1 }] }),
    /^optimizer\.groups\[0\]: must have match or where, received \{"lr":0\.1\}$/,
  ],
  [
    "group option",
    optimizer({ groups: [{ match: "bias", lr: -1 }] }),
    /^optimizer\.groups\[0\]\.lr: must be a number >= 0, received -1$/,
  ],
  [
    "frozen",
    optimizer({ groups: [{ match: ".", freeze: true }] }),
    /^optimizer: has nothing to train/,
  ],
  [
    "noDecay",
    optimizer({ noDecay: ["zzz"] }),
    /^optimizer\.noDecay\[0\]: matches no parameter name/,
  ],
  // Model and data.
  [
    "channels",
    model("NLinear", { ...windows, channels: 7 }),
    /^model: NLinear does not fit the training data: .*\[batch, 12, 7\].* \(inputs \[2, 12, 2\], targets \[2, 4, 2\]\)$/,
  ],
  [
    "input length",
    model("DLinear", { inputLength: 24, outputLength: 4, channels: 2 }),
    /^model: DLinear does not fit the training data: .*\[batch, 24, 2\]/,
  ],
  [
    "output length",
    model("NLinear", { inputLength: 12, outputLength: 6, channels: 2 }),
    /^model: NLinear does not fit the training data: prediction: must have the target's shape \[2, 4, 2\], received \[2, 6, 2\]/,
  ],
  [
    "flat output",
    model("Mlp", { inputSize: 24, outputSize: 8 }),
    /^model: Mlp does not fit the training data: .*received \[2, 8\]/,
  ],
  [
    "a layer's input",
    layers({ units: 2, batch_input_shape: [null, 12, 3] }),
    /^model: Layers does not fit the training data: Input 0 is incompatible.*\(inputs \[2, 12, 2\], targets \[2, 4, 2\]\)$/,
  ],
  [
    "a layer's output",
    layers({ units: 2, batch_input_shape: [null, 12, 2] }),
    /^model: Layers does not fit the training data: prediction: must have the target's shape/,
  ],
  ["scores", { loss: "crossEntropy" }, /^model: NLinear does not fit the training data: .*classes/],
  ["another part", {
    ...model("Mlp", { inputSize: 2, outputSize: 1 }),
    data: { type: "ArrayDataset", params: twoParts },
  }, /^model: Mlp does not fit the validation data: .*\(inputs \[2, 3\], targets \[2, 1\]\)$/],
  [
    "no such output",
    { callbacks: ["AuxiliaryLoss"] },
    /^callbacks\[0\]\.params\.keys: NLinear has no output 'aux_loss'; known: prediction$/,
  ],
  // Data.
  [
    "no file",
    { data: { type: "ForecastingCsv", params: { path: "no-such.csv", ...windows } } },
    /^cannot read .*no-such\.csv: no such file$/,
  ],
  [
    "path and content",
    csv("a\n1\n", { path: "x.csv" }),
    /^data\.params\.content: must be left out where 'path' is given, received both$/,
  ],
  [
    "ragged",
    csv("a,b\n1,2\n3\n"),
    /^content:3:2: must have 2 cells as the header has, received 1$/,
  ],
  ["text", csv("a,b\n1,2\n3,x\n"), /^content:3:2 b: must be a number, received "x"$/],
  ["column", csv("a,b\n1,2\n", { columns: ["c"] }), /^content:1: no column "c"/],
  ["too few rows", csv("a,b\n1,2\n3,4\n"), /^data\.params\.split: leaves the training part 1 rows/],
  [
    "ragged split",
    array({ split: [0.7, 0.3] }),
    /^data\.params\.split: must be three row counts, .*received \[0\.7,0\.3\]$/,
  ],
  ["split over 1", array({ split: [0.7, 0.3, 0.3] }), /^data\.params\.split: must be three/],
  [
    "split over the rows",
    array({ split: [100, 40, 40] }),
    /^data\.params\.split: needs 180 rows, values has 160$/,
  ],
  [
    "values",
    array({ channels: 3 }),
    /^data\.params\.values: must have a multiple of channels = 3 values, received 320$/,
  ],
  [
    "values of another class",
    array({ values: new Int32Array(320) }),
    /^data\.params\.values: must be a Float32Array, .* received an Int32Array of length 320$/,
  ],
  [
    "values in an object",
    array({ values: { data: new Float32Array(320) } }),
    /^data\.params\.values: must be .*, received \{"data":"a Float32Array of length 320"\}$/,
  ],
  ["season", array({ season: 500 }), /^data\.params\.season: must be at most 112, .*received 500$/],
  [
    "no times",
    array({ timeFeatures: ["timeOfDay"] }),
    /^data\.params\.timeFeatures: needs time stamps/,
  ],
  ["array shape", {
    data: {
      type: "ArrayDataset",
      params: { train: { inputs: { data: [1, 2, 3], shape: [2, 2] } } },
    },
  }, /^data\.params\.train: field "inputs": shape \[2, 2\] needs 4 values, received 3$/],
  // Keys that reach prototypes.
  [
    "__proto__",
    parsed('{"log":{"__proto__":{"polluted":1}}}'),
    /^log\.__proto__: must not stand in a config, received \{"polluted":1\}$/,
  ],
  [
    "nested without end",
    parsed(`{"model":{"type":"Mlp","params":${"[".repeat(200)}${"]".repeat(200)}}}`),
    /^a config must have at most 100 levels, received more$/,
  ],
  [
    "__proto__ in params",
    parsed('{"optimizer":{"type":"Adam","params":{"__proto__":{"polluted":1}}}}'),
    /^optimizer\.params\.__proto__: must not stand in a config/,
  ],
  [
    "__proto__ in a list",
    parsed('{"metrics":[{"type":"mse","params":{"__proto__":1}}]}'),
    /^metrics\[0\]\.params\.__proto__: must not stand in a config, received 1$/,
  ],
  [
    "constructor",
    parsed('{"optimizer":{"type":"Adam","params":{"constructor":{"prototype":1}}}}'),
    /^optimizer\.params\.constructor: unknown option "constructor" for Adam/,
  ],
  [
    "constructor section",
    parsed('{"constructor":{"prototype":{"polluted":1}}}'),
    /^constructor: unknown option "constructor"/,
  ],
  // The run directory.
  ...["..", ".hidden", "a/b", "a\\b", "/tmp/x", "C:x", "a\0b", "a\n", "", "a".repeat(101), "ä"].map(
    (name) =>
      [`name ${name}`, { name }, /^name: must be 1 to 100 of the characters A-Z/] as [
        string,
        Overrides,
        RegExp,
      ],
  ),
];

test("IterationRunner.create refuses what does not go together, in one line, and writes nothing", async () => {
  await withFolder(async (folder) => {
    const directory = join(folder, "runs");
    const complaints: string[] = [];
    await selectBackend("cpu");
    const before = tf.memory().numTensors;
    for (const [what, overrides, expected] of rows) {
      const { checkpoint, ...rest } = overrides;
      const config = smallConfig({ ...rest, checkpoint: { directory, ...checkpoint as object } });
      const told = await refusal(deepFreeze(config));
      if (!expected.test(told) || /[\n\r]/.test(told)) complaints.push(`${what} -> ${told}`);
    }
    assert.deepEqual(complaints, []);
    assert.equal(tf.memory().numTensors, before);
    assert.ok(!existsSync(directory));
    assert.equal((Object.prototype as { polluted?: unknown }).polluted, undefined);
  });
});

async function refusal(config: RunConfig): Promise<string> {
  try {
    (await IterationRunner.create(config, { output: new Lines() })).dispose();
    return "accepted";
  } catch (error) {
    const { name, message } = error as Error;
    return ["ConfigError", "DataError"].includes(name) ? message : `${name}: ${message}`;
  }
}
