/** The JSON schema of a config against an independent validator, and against what the library checks. */
import { Ajv, type ValidateFunction } from "ajv";
import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  configSchema,
  registerCallback,
  registerDataset,
  registerOptimizer,
  registerScheduler,
  runConfigSchema,
} from "../../mod.ts";
import { resolveConfig } from "../../src/config/schema.ts";
import { object } from "../../src/core/options.ts";
import type { Registered } from "../../src/core/registry.ts";
import { registeredDatasets } from "../../src/data/registry.ts";
import { registeredLosses } from "../../src/loss/registry.ts";
import { registeredMetrics } from "../../src/metric/registry.ts";
import { registeredModels } from "../../src/model/registry.ts";
import "../../src/model/models.ts";
import { registeredOptimizers } from "../../src/optim/registry.ts";
import { registeredCallbacks } from "../../src/runner/callbacks/registry.ts";
import { registeredSchedulers } from "../../src/schedule/registry.ts";
import { optimizerConfigs } from "../support/optimizer_configs.ts";
import { root } from "../support/root.ts";
import { dotted, faults, FEW, jsonSchema, type KeyPath, sample, withFault } from "./bad_values.ts";

const validate = validator();

function validator(): ValidateFunction {
  return new Ajv({ strict: true, strictTypes: false, strictRequired: false, strictTuples: false })
    .compile(configSchema());
}

/** What the validator says against a config, as JSON would hold it. */
function complaint(config: unknown, check = validate): string | undefined {
  if (check(JSON.parse(JSON.stringify(config)))) return undefined;
  const [first] = check.errors!;
  return `${first.instancePath} ${first.message} ${JSON.stringify(first.params)}`;
}

const base = {
  model: { type: "NLinear", params: { inputLength: 8, outputLength: 2, channels: 1 } },
  data: { type: "ForecastingCsv", params: { path: "a.csv", inputLength: 8, outputLength: 2 } },
  optimizer: { type: "Adam", params: { lr: 1e-3 } },
  train: { iterations: 10 },
};

function exampleConfigs(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return exampleConfigs(path);
    return entry.name.endsWith(".json") ? [path] : [];
  });
}

test("configSchema() accepts every example config", () => {
  const files = exampleConfigs(join(root, "examples"));
  assert.ok(files.length >= 8, `${files.length} files`);
  let pointing = 0;
  for (const file of files) {
    const config = JSON.parse(readFileSync(file, "utf8"));
    assert.equal(complaint(config), undefined, file);
    if (config.$schema === undefined) continue;
    pointing++;
    assert.equal(join(file, "..", config.$schema), join(root, "config.schema.json"), file);
  }
  assert.ok(pointing > 0);
});

test("configSchema() accepts every optimizer, and both spellings of its options", () => {
  for (const optimizer of optimizerConfigs) {
    assert.equal(complaint({ ...base, optimizer }), undefined, optimizer.type);
  }
  for (
    const [given, isGood] of [
      [{ type: "AdamW", params: { weight_decay: 0.1, foreach: true } }, true],
      [{ type: "adamw", params: { weightDecay: 0.1 } }, true],
      [{ TYPE: "AdamW", PARAM: { weight_decay: 0.1 } }, true],
      [{ name: "AdamW", module: "torch.optim.adamw", params: {} }, true],
      [{ type: { name: "AdamW", module: "torch.optim.adamw" } }, true],
      [{ type: "MyOwn", params: { anything: 1 } }, true],
      [{ type: "AdamW", noDecay: "auto", groups: [{ match: "bias$", lr: 1 }] }, true],
      [{ type: "AdamW", layer_decay: { rate: 0.5, depth_of: "(\\d+)" } }, true],
      [{ type: "AdamW", params: { weight_decay: 0.1, weightDecay: 0.1 } }, false],
      [{ type: "AdamW", params: { wegiht_decay: 0.1 } }, false],
      [{ type: "torch.optim.AdamW", params: { lr: -1 } }, false],
      [{ type: "AdamW", TYPE: "AdamW" }, false],
      [{ type: "SAM", params: {} }, false],
      [{ type: "AdamW", groups: [{ lr: 1 }] }, false],
      [{ params: {} }, false],
    ] as const
  ) {
    const found = complaint({ ...base, optimizer: given });
    assert.equal(found === undefined, isGood, `${JSON.stringify(given)}: ${found}`);
  }
});

test("configSchema() knows composites, plateaus and the options of a schedule", () => {
  const step = { type: "StepLR", params: { stepSize: 3 } };
  for (
    const [scheduler, isGood] of [
      [{ type: "SequentialLR", schedulers: [step, step], milestones: [5] }, true],
      [{ type: "SequentialLR", params: { schedulers: [step, step], milestones: [5] } }, true],
      [{ type: "ReduceLROnPlateau", monitor: "val/mae" }, true],
      [{ type: "CosineAnnealingLR", params: { T_max: "auto", last_epoch: -1 } }, true],
      [{ type: "CosineAnnealingLR", params: { tMax: 5 }, target: "weight_decay" }, true],
      [{ type: "SequentialLR", schedulers: [{ type: "StepLR" }], milestones: [] }, false],
      [{ type: "StepLR", params: { step_size: 0 } }, false],
      [{ ...step, monitor: "val/mae" }, false],
      [{ ...step, schedulers: [] }, false],
      [{ type: "LambdaLR", params: { lr_lambda: 1 } }, false],
      [{ type: "CosineAnnealingLR", params: { T_max: 5, t_max: 5 } }, false],
      [{ type: "CosineAnnealingLR" }, false],
    ] as const
  ) {
    const found = complaint({ ...base, scheduler });
    assert.equal(found === undefined, isGood, `${JSON.stringify(scheduler)}: ${found}`);
  }
});

test("configSchema() refuses every leaf of a config that the library refuses", () => {
  const full = {
    ...base,
    task: { type: "forecasting", params: {} },
    loss: { type: "mse", params: {} },
    metrics: [{ type: "mse", params: {} }],
    scheduler: { type: "StepLR", params: { step_size: 5 } },
    callbacks: [{ type: "LearningRateMonitor", params: {} }],
    test: { horizons: [1] },
    fineTune: { path: "weights.safetensors" },
    checkpoint: {},
  };
  assert.equal(complaint(full), undefined);
  const accepted: string[] = [];
  let cases = 0;
  for (const fault of faults(jsonSchema(runConfigSchema))) {
    const config = asJson(withFault(full, fault));
    try {
      resolveConfig(config);
      continue; // What JSON makes of NaN and infinities may be a valid value.
    } catch {
      cases++;
    }
    if (complaint(config) === undefined) accepted.push(`${fault.kind} ${dotted(fault.path)}`);
  }
  assert.ok(cases > 500, `${cases} cases`);
  assert.deepEqual(accepted, []);
});

test("configSchema() refuses every param of every component that its schema refuses", () => {
  const accepted: string[] = [];
  let cases = 0;
  const kinds: [KeyPath, readonly Registered[]][] = [
    [["data"], registeredDatasets()],
    [["model"], registeredModels()],
    [["loss"], registeredLosses()],
    [["metrics", 0], registeredMetrics()],
    [["optimizer"], registeredOptimizers()],
    [["scheduler"], registeredSchedulers()],
    [["callbacks", 0], registeredCallbacks()],
  ];
  for (const [path, entries] of kinds) {
    for (const { name: type, options } of entries) {
      if (options === undefined) continue;
      const params = sample(jsonSchema(options)) as object;
      for (const found of faults(jsonSchema(options), FEW)) {
        const wrong = asJson(withFault(params, found));
        if (options.safeParse(wrong).success) continue;
        // Beside a wrapper's own options lie those of the optimizer inside.
        if (["SAM", "ASAM", "Lookahead"].includes(type) && found.kind === "misspelt") continue;
        cases++;
        const value = { type, params: wrong };
        if (complaint(withFault(base, { kind: "value", path, value })) === undefined) {
          accepted.push(`${found.kind} ${type}.${dotted(found.path)}`);
        }
      }
    }
  }
  assert.ok(cases > 1500, `${cases} cases`);
  assert.deepEqual(accepted, []);
});

test("configSchema() has what a program registered", () => {
  const options = object({});
  registerCallback("TestQuiet", () => ({ name: "TestQuiet" }), options);
  const notMade = () => {
    throw new Error("not made here");
  };
  registerOptimizer("TestAdam", notMade, options);
  registerScheduler("TestDecay", notMade, options);
  registerDataset("TestData", notMade, options);
  const check = validator();
  const given: ((params: object) => object)[] = [
    (params) => ({ callbacks: [{ type: "TestQuiet", params }] }),
    (params) => ({ optimizer: { type: "TestAdam", params } }),
    (params) => ({ scheduler: { type: "TestDecay", params } }),
    (params) => ({ data: { type: "TestData", params } }),
  ];
  for (const section of given) {
    assert.equal(complaint({ ...base, ...section({}) }, check), undefined);
    assert.notEqual(complaint({ ...base, ...section({ loud: true }) }, check), undefined);
  }
  const names = JSON.stringify(configSchema());
  assert.ok(names.includes('"TestQuiet"') && names.includes('"TestAdam"'));
});

/** As a file would hold it. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
