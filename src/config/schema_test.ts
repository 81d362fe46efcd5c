import { strict as assert } from "node:assert";
import { test } from "node:test";
import { smallConfig } from "../../test/support/runs.ts";
import { defineConfig, resolveConfig, type RunConfig } from "./schema.ts";

/** The config as plain data, with `more` at the top. */
const given = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...smallConfig() as unknown as Record<string, unknown>,
  ...more,
});

test("resolveConfig fills in the documented defaults", () => {
  const { model, data, optimizer } = smallConfig();
  const resolved = resolveConfig({ model, data, optimizer, train: { iterations: 5 } });
  assert.deepEqual({ ...resolved, model: 0, data: 0, optimizer: 0 }, {
    seed: 42,
    backend: "auto",
    deterministic: false,
    workers: 1,
    maxWorkerRestarts: 3,
    shards: 1,
    model: 0,
    data: 0,
    optimizer: 0,
    rescale: false,
    train: {
      iterations: 5,
      batchSize: 32,
      accumulate: 1,
      dropLast: false,
      nonFinite: "stop",
      metrics: false,
      fastDevRun: false,
    },
    validation: { sanity: 2 },
    test: { horizons: [], savePredictions: false },
    best: { monitor: "val/loss" },
    checkpoint: { directory: "runs", resume: "auto" },
    log: { interval: 50, progress: true, tensorboard: true },
    callbacks: [],
  });
});

test("resolveConfig reads torch spelling in every section", () => {
  const camel = resolveConfig(given({
    earlyStopping: { patience: 3 },
    fineTune: { path: "w" },
    train: { iterations: 5, batchSize: 4, nonFinite: "skip", maxTime: 9, limitBatches: 2 },
    validation: { batchSize: 2 },
    test: { savePredictions: true },
  }));
  const snake = resolveConfig(given({
    early_stopping: { patience: 3 },
    fine_tune: { path: "w" },
    train: { iterations: 5, batch_size: 4, non_finite: "skip", max_time: 9, limit_batches: 2 },
    validation: { batch_size: 2 },
    test: { save_predictions: true },
  }));
  assert.deepEqual(snake, camel);
});

test("resolveConfig reads { TYPE, PARAM } wherever a component stands", () => {
  const component = (type: string) => ({ TYPE: type, PARAM: { x: 1 } });
  const resolved = resolveConfig(given({
    model: component("M"),
    data: component("D"),
    loss: component("L"),
    task: component("T"),
    optimizer: { ...component("O"), noDecay: "auto" },
    scheduler: { ...component("S"), monitor: "val/loss" },
    metrics: [component("A"), "b"],
    callbacks: [component("C"), { TYPE: "E" }],
  }));
  const read = (type: string) => ({ type, params: { x: 1 } });
  const { model, data, loss, task, optimizer, scheduler, metrics, callbacks } = resolved;
  assert.deepEqual({ model, data, loss, task, optimizer, scheduler, metrics, callbacks }, {
    model: read("M"),
    data: read("D"),
    loss: read("L"),
    task: read("T"),
    optimizer: { ...read("O"), noDecay: "auto" },
    scheduler: { ...read("S"), monitor: "val/loss" },
    metrics: [read("A"), "b"],
    callbacks: [read("C"), { type: "E", params: {} }],
  });
});

test("resolveConfig keeps functions, instances and objects with methods as they are", () => {
  class Counter {
    readonly name = "Counter";
    readonly type = "a field of its own";
    updateEnd(): void {}
  }
  const made = new Counter();
  const plain = { name: "Plain", updateEnd: () => {} };
  const metric = { name: "m", size: 1, update: () => {}, finalize: () => 0 };
  const factory = () => plain;
  const resolved = resolveConfig(given({
    callbacks: [made, plain, factory, Counter],
    metrics: [metric, factory],
    loss: factory,
  }));
  resolved.callbacks.forEach((it, i) => assert.equal(it, [made, plain, factory, Counter][i]));
  resolved.metrics?.forEach((it, i) => assert.equal(it, [metric, factory][i]));
  assert.equal(resolved.loss, factory);
});

test("defineConfig answers the config itself", () => {
  const config: RunConfig = smallConfig();
  assert.equal(defineConfig(config), config);
});
