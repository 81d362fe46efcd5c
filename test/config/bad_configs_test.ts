/** Every leaf of the config schema with every kind of wrong value: one line, and nothing written. */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IterationRunner, type RunConfig, runConfigSchema } from "../../mod.ts";
import { show } from "../../src/core/errors.ts";
import type { z } from "../../src/core/options.ts";
import type { Registered } from "../../src/core/registry.ts";
import { registeredDatasets } from "../../src/data/registry.ts";
import { registeredModels } from "../../src/model/registry.ts";
import { registeredOptimizers } from "../../src/optim/registry.ts";
import { clipGradientsOptions } from "../../src/runner/callbacks/clip_gradients.ts";
import { earlyStoppingOptions } from "../../src/runner/callbacks/early_stopping.ts";
import { registeredCallbacks } from "../../src/runner/callbacks/registry.ts";
import { buildScheduler, type SchedulerConfig } from "../../src/schedule/builder.ts";
import { registeredSchedulers } from "../../src/schedule/registry.ts";
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

const DATA: Record<string, Record<string, unknown>> = {
  ForecastingCsv: { content: CSV, ...windows },
  ForecastingArray: { values: series(160), channels: 2, ...windows },
};

/** Composites, whose params are those of their parts. */
const COMPOSITES = ["ChainedScheduler", "SequentialLR"];

/** Where the params of a component stand, their schema, and a config that has them. */
type Row = readonly [KeyPath, z.ZodObject, Record<string, unknown>];

function components(): Row[] {
  const rows: Row[] = [];
  const add = (
    section: string,
    { name: type, options }: Registered,
    given: Record<string, unknown> = {},
  ) => {
    if (options === undefined) return;
    const params = { ...sample(jsonSchema(options)) as object, ...given };
    const path = section === "callbacks" ? [section, 0, "params"] : [section, "params"];
    const component = { type, params };
    rows.push([path, options, { [section]: section === "callbacks" ? [component] : component }]);
  };
  for (const entry of registeredDatasets()) {
    if (DATA[entry.name] !== undefined) add("data", entry, DATA[entry.name]);
  }
  for (const entry of registeredModels()) {
    add("model", entry, MODELS[entry.name] ?? { ...windows, channels: 2 });
  }
  for (const entry of registeredOptimizers()) {
    if (entry.name !== "LBFGS") add("optimizer", entry, OPTIMIZERS[entry.name]);
  }
  for (const entry of registeredSchedulers()) {
    if (COMPOSITES.includes(entry.name)) continue;
    add("scheduler", entry, {
      ...SCHEDULERS[entry.name],
      ...(entry.name.startsWith("Timm") ? { noise_range_t: [2, 5] } : {}),
    });
  }
  for (const entry of registeredCallbacks()) {
    if (entry.name === "ClipGradients") continue;
    add("callbacks", entry, entry.name === "AuxiliaryLoss" ? { keys: ["prediction"] } : {});
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
