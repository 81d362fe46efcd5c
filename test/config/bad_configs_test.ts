/** Every leaf of the config schema with every kind of wrong value: one line, and nothing written. */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IterationRunner, type RunConfig, runConfigSchema } from "../../mod.ts";
import { show } from "../../src/core/errors.ts";
import type { z } from "../../src/core/options.ts";
import {
  forecastingArraySchema,
  forecastingCsvSchema,
} from "../../src/data/forecasting_options.ts";
import { modelNames, modelSchema } from "../../src/model/registry.ts";
import { findOptimizer, optimizerNames } from "../../src/optim/registry.ts";
import { auxiliaryLossOptions } from "../../src/runner/callbacks/auxiliary_loss.ts";
import { checkpointOptions } from "../../src/runner/callbacks/checkpoint.ts";
import { clipGradientsOptions } from "../../src/runner/callbacks/clip_gradients.ts";
import { curriculumOptions } from "../../src/runner/callbacks/curriculum.ts";
import { earlyStoppingOptions } from "../../src/runner/callbacks/early_stopping.ts";
import { exponentialMovingAverageOptions } from "../../src/runner/callbacks/exponential_moving_average.ts";
import { buildScheduler, type SchedulerConfig } from "../../src/schedule/builder.ts";
import { findScheduler, schedulerNames } from "../../src/schedule/registry.ts";
import { Lines, series, smallConfig, withFolder } from "../support/runs.ts";
import {
  deepFreeze,
  dotted,
  type Fault,
  faults,
  FEW,
  jsonSchema,
  type KeyPath,
  sample,
  withFault,
} from "./bad_values.ts";

/** A valid config in which every section stands, so that a fault is the only one. */
function fullConfig(folder: string): Record<string, unknown> {
  return smallConfig({
    name: "full",
    workers: 1,
    shards: 1,
    task: { type: "forecasting", params: {} },
    loss: { type: "mse", params: {} },
    metrics: [{ type: "mse", params: {} }],
    scheduler: { type: "StepLR", params: { step_size: 5 } },
    train: { clipGrad: { max_norm: 1 }, maxTime: 60 },
    test: { horizons: [1] },
    best: { monitor: "val/loss", mode: "min" },
    earlyStopping: {},
    checkpoint: { directory: join(folder, "runs"), at: [1] },
    fineTune: { path: "weights.safetensors" },
    callbacks: [{ type: "LearningRateMonitor", params: {} }],
  }) as unknown as Record<string, unknown>;
}

async function refusal(config: unknown): Promise<Error> {
  try {
    const run = await IterationRunner.create(deepFreeze(config) as RunConfig, {
      output: new Lines(),
    });
    run.dispose();
  } catch (error) {
    return error as Error;
  }
  return new Error("accepted");
}

/** The same for the scheduler alone: a run builds its model before it, thousands of times here. */
function schedulerRefusal({ scheduler }: { scheduler?: unknown }): Error {
  try {
    buildScheduler(scheduler as SchedulerConfig, { paramGroups: [{ lr: 1, momentum: 0.5 }] });
  } catch (error) {
    return error as Error;
  }
  return new Error("accepted");
}

/** What is wrong with the message for `fault`, undefined if nothing is. */
function complaint(error: Error, fault: Fault): string | undefined {
  const { message } = error;
  const path = dotted(fault.path);
  const told = fault.kind === "value"
    ? message.startsWith(`${path}: `) && message.includes(`received ${show(fault.value)}`)
    : fault.kind === "missing"
    ? message.startsWith(`${path}: is required`)
    : message.startsWith(`${path}: unknown option`) &&
      message.includes(`did you mean '${fault.meant}'?`);
  if (error.name === "ConfigError" && !message.includes("\n") && told) return undefined;
  const value = fault.kind === "value" ? ` = ${show(fault.value)}` : "";
  return `${fault.kind} ${path}${value} -> ${error.name}: ${message}`;
}

test("config: every leaf of the schema refuses every wrong value in one line", async () => {
  await withFolder(async (folder) => {
    const base = fullConfig(folder);
    assert.equal((await refusal(base)).message, "accepted");
    const complaints: string[] = [];
    let cases = 0;
    for (const fault of faults(jsonSchema(runConfigSchema))) {
      cases++;
      const found = complaint(await refusal(withFault(base, fault)), fault);
      if (found !== undefined) complaints.push(found);
    }
    assert.ok(cases > 600, `${cases} cases`);
    assert.deepEqual(complaints, []);
    assert.ok(!existsSync(join(folder, "runs")));
  });
});

const LAYERS = {
  class_name: "Sequential",
  config: {
    name: "layers",
    layers: [
      { class_name: "Flatten", config: { name: "flatten", batch_input_shape: [null, 12, 2] } },
      { class_name: "Dense", config: { name: "dense", units: 8, activation: "linear" } },
      { class_name: "Reshape", config: { name: "shape", target_shape: [4, 2] } },
    ],
  },
};

const CSV = `a,b\n${Array.from({ length: 160 }, (_, t) => `${t % 7},${t % 5}`).join("\n")}\n`;

const windows = { inputLength: 12, outputLength: 4 };

const MODELS: Record<string, Record<string, unknown>> = {
  Layers: { json: LAYERS },
  PatchTST: { ...windows, channels: 2, patchLength: 4, stride: 2 },
};

const OPTIMIZERS: Record<string, Record<string, unknown>> = {
  ASAM: { optimizer: "SGD" },
  Lookahead: { optimizer: "SGD" },
  Muon: { aux: { betas: [0.9, 0.95] } },
  SAM: { optimizer: "SGD" },
};

/** Where a sample of each option is not a schedule. */
const SCHEDULERS: Record<string, Record<string, unknown>> = {
  ClampedOneCycleLR: { total_steps: 20 },
  LambdaLR: { lr_lambda: () => 1 },
  MultiCosineAnnealingWarmup: {
    final_epoch: 20,
    T_0: [8, 14],
    lr_mult: [0.5, 0.2],
    warmup_begin: 2,
  },
  MultiplicativeLR: { lr_lambda: () => 1 },
  OneCycleLR: { total_steps: 20 },
  cosine_warmup_with_min_lr: { min_lr: 1e-4 },
  cosine_with_min_lr: { min_lr: 1e-4 },
  polynomial: { num_warmup_steps: 2, num_training_steps: 20, lr_end: 1e-4 },
  warmup_stable_decay: { num_warmup_steps: 2, num_decay_steps: 3, num_training_steps: 20 },
};

const CALLBACKS: Record<string, z.ZodObject> = {
  AuxiliaryLoss: auxiliaryLossOptions,
  Checkpoint: checkpointOptions,
  Curriculum: curriculumOptions,
  EarlyStopping: earlyStoppingOptions,
  ExponentialMovingAverage: exponentialMovingAverageOptions,
};

/** Where the params of a component stand, their schema, and a config that has them. */
type Row = readonly [KeyPath, z.ZodObject, Record<string, unknown>];

function components(): Row[] {
  const rows: Row[] = [];
  const add = (section: string, type: string, schema: z.ZodObject | undefined, given = {}) => {
    if (schema === undefined) return;
    const params = { ...sample(jsonSchema(schema)) as object, ...given };
    const path = section === "callbacks" ? [section, 0, "params"] : [section, "params"];
    const component = { type, params };
    rows.push([path, schema, { [section]: section === "callbacks" ? [component] : component }]);
  };
  add("data", "ForecastingCsv", forecastingCsvSchema, { content: CSV, ...windows });
  const values = series(160);
  add("data", "ForecastingArray", forecastingArraySchema, { values, channels: 2, ...windows });
  for (const type of modelNames()) {
    add("model", type, modelSchema(type), MODELS[type] ?? { ...windows, channels: 2 });
  }
  for (const type of optimizerNames()) {
    add(
      "optimizer",
      type,
      (findOptimizer(type, "") as { options?: z.ZodObject }).options,
      OPTIMIZERS[type],
    );
  }
  for (const type of schedulerNames()) {
    const rule = findScheduler(type, "") as { options?: z.ZodObject; composite?: boolean };
    if (!rule.composite) {
      add("scheduler", type, rule.options, {
        ...SCHEDULERS[type],
        ...(type.startsWith("Timm") ? { noise_range_t: [2, 5] } : {}),
      });
    }
  }
  for (const [type, schema] of Object.entries(CALLBACKS)) {
    add("callbacks", type, schema, type === "AuxiliaryLoss" ? { keys: ["prediction"] } : {});
  }
  const clipGrad = { max_norm: 1 };
  rows.push(
    [["earlyStopping"], earlyStoppingOptions, { earlyStopping: {} }],
    [["train", "clipGrad"], clipGradientsOptions, { train: { iterations: 10, clipGrad } }],
  );
  return rows;
}

test("config: every param of every component refuses every wrong value in one line", async () => {
  await withFolder(async (folder) => {
    const complaints: string[] = [];
    let cases = 0;
    for (const [path, schema, overrides] of components()) {
      const base = smallConfig({ ...overrides, checkpoint: { directory: join(folder, "runs") } });
      assert.equal((await refusal(base)).message, "accepted", show(overrides));
      const pool = ["optimizer", "scheduler"].includes(String(path[0])) ? FEW : undefined;
      for (const found of faults(jsonSchema(schema), pool)) {
        cases++;
        const fault = { ...found, path: [...path, ...found.path] };
        const wrong = withFault(base, fault);
        const error = path[0] === "scheduler"
          ? schedulerRefusal(wrong as { scheduler?: unknown })
          : await refusal(wrong);
        const told = complaint(error, fault);
        if (told !== undefined) complaints.push(told);
      }
    }
    assert.ok(cases > 3000, `${cases} cases`);
    assert.deepEqual(complaints, []);
    assert.ok(!existsSync(join(folder, "runs")));
  });
});
