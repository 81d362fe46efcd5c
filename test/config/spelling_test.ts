/** One run in several spellings, from a config that cannot be changed. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { AuxiliaryLoss, EarlyStopping, type RunConfig } from "../../mod.ts";
import { smallConfig, trainOnce } from "../support/runs.ts";
import { deepFreeze } from "./bad_values.ts";

const windows = { inputLength: 12, outputLength: 4 };

/** camelCase and `{ type, params }`. */
const camel = smallConfig({
  model: { type: "NLinear", params: { ...windows, channels: 2 } },
  loss: { type: "huber", params: { delta: 0.5, nullValue: 0 } },
  metrics: [{ type: "mae", params: { nullValue: 0 } }],
  optimizer: {
    type: "AdamW",
    params: { lr: 0.01, weightDecay: 0.1 },
    noDecay: "auto",
    groups: [
      { match: "bias$", optimizer: { type: "SGD", params: { lr: 0.1, weightDecay: 0.2 } } },
      { match: "weight$", weightDecay: 0.3 },
    ],
  },
  scheduler: { type: "StepLR", params: { stepSize: 3 } },
  train: { iterations: 10, batchSize: 4, accumulate: 2, clipGrad: { maxNorm: 0.5 } },
  validation: { interval: 5, limitBatches: 2 },
  earlyStopping: { minDelta: 1e-4 },
  callbacks: [{ type: "ExponentialMovingAverage", params: { updateEvery: 2 } }],
});

/** torch's snake_case and BasicTS' `{ TYPE, PARAM }`. */
const { data, ...rest } = camel;
const torch = {
  ...rest,
  data: { TYPE: data.type, PARAM: snake(data.params!) },
  model: { TYPE: "NLinear", PARAM: { ...snake(windows), channels: 2 } },
  loss: { TYPE: "huber", PARAM: { delta: 0.5, null_value: 0 } },
  metrics: [{ TYPE: "mae", PARAM: { null_value: 0 } }],
  optimizer: {
    TYPE: "torch.optim.AdamW",
    PARAM: { lr: 0.01, weight_decay: 0.1 },
    no_decay: "auto",
    groups: [
      { match: "bias$", optimizer: { TYPE: "SGD", PARAM: { lr: 0.1, weight_decay: 0.2 } } },
      { match: "weight$", weight_decay: 0.3 },
    ],
  },
  scheduler: { TYPE: "torch.optim.lr_scheduler.StepLR", PARAM: { step_size: 3 } },
  train: { iterations: 10, batch_size: 4, accumulate: 2, clip_grad: { max_norm: 0.5 } },
  validation: { interval: 5, limit_batches: 2 },
  earlyStopping: undefined,
  early_stopping: { min_delta: 1e-4 },
  callbacks: [{ TYPE: "ExponentialMovingAverage", PARAM: { update_every: 2 } }],
};

/** As BasicTS writes classes to JSON. */
const python = {
  ...rest,
  data: { name: data.type, module: "basicts.data", params: data.params },
  model: { name: "NLinear", module: "basicts.models.NLinear", params: rest.model.params },
  loss: { type: { name: "huber", module: "basicts.metrics.huber" }, params: params(rest.loss) },
  metrics: [{ name: "masked_mae", module: "basicts.metrics.mae", params: { null_value: 0 } }],
  optimizer: {
    ...rest.optimizer,
    type: { name: "AdamW", module: "torch.optim.adamw" },
    groups: [
      {
        match: "bias$",
        optimizer: {
          name: "SGD",
          module: "torch.optim.sgd",
          params: { lr: 0.1, weightDecay: 0.2 },
        },
      },
      { match: "weight$", weightDecay: 0.3 },
    ],
  },
  scheduler: { name: "StepLR", module: "torch.optim.lr_scheduler", params: { step_size: 3 } },
  callbacks: [{
    name: "ExponentialMovingAverage",
    module: "basicts.runners.callback",
    params: { update_every: 2 },
  }],
};

function params(component: unknown): unknown {
  return (component as { params: unknown }).params;
}

function snake(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([key, value]) => [
      key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );
}

test("a run is the same in every spelling, and leaves its config alone", async () => {
  const results = [];
  for (const config of [camel, torch, python] as RunConfig[]) {
    const before = structuredClone(config);
    const { summary } = await trainOnce(deepFreeze(config));
    assert.deepEqual(config, before);
    const { seconds: _, samplesPerSecond: __, ...kept } = summary;
    results.push(kept);
  }
  assert.equal(results[0].iterations, 10);
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
});

test("callbacks and metrics of a program do the same as their names", async () => {
  const named = smallConfig({ callbacks: [{ type: "EarlyStopping", params: { patience: 1 } }] });
  const made = smallConfig({ callbacks: [new EarlyStopping({ patience: 1 })] });
  const [a, b] = [await trainOnce(named), await trainOnce(made)];
  assert.equal(a.summary.weightsSha256, b.summary.weightsSha256);
  assert.equal(a.summary.finished, b.summary.finished);
  // A callback that is not there would train too: this one has a hook to be missed.
  const doubled = await trainOnce(
    smallConfig({ callbacks: [new AuxiliaryLoss({ keys: ["prediction"] })] }),
  );
  const plain = await trainOnce(smallConfig());
  assert.notEqual(doubled.summary.weightsSha256, plain.summary.weightsSha256);
});
