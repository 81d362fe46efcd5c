/** Hooks, kinds of data, and calls after the training: what a program sees is the same with workers. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  ArrayDataset,
  buildOptimizer,
  type Callback,
  type DataSplits,
  type HostBatch,
  IterationRunner,
  type RunConfig,
  type RunView,
  tf,
} from "../../mod.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import { Lines, series, smallConfig } from "../support/runs.ts";
import { linearConfig, regression, stream } from "../runner/support.ts";
import { assertSame, filed, imports, once, partsConfig, runOf } from "./support.ts";

/** A callback of a program that uses all hooks of the coordinator, and what it has seen. */
class Meddler implements Callback {
  readonly name = "Meddler";
  readonly seen: unknown[] = [];
  #batches = 0;

  /** @param spoilt Which batch is not finite. */
  constructor(readonly spoilt: number) {}

  batch(batch: HostBatch): HostBatch {
    const { inputs } = batch;
    const data = Float32Array.from(inputs.data, (value) => value * 1.01);
    if (++this.#batches === this.spoilt) data.fill(NaN);
    return { ...batch, inputs: { ...inputs, data } };
  }

  gradients(value: { grads: Record<string, tf.Tensor>; scale: number; norm?: number }): never {
    const names = Object.keys(value.grads);
    this.seen.push(names, value.scale, value.norm, value.grads[names[0]].dataSync()[0]);
    const [first, ...rest] = names;
    const kept = rest.map((name) => [name, tf.clone(value.grads[name])]);
    const grads = { ...Object.fromEntries(kept), [first]: tf.mul(value.grads[first], 0.5) };
    // Of another type, and now and then not there.
    const last = names[names.length - 1];
    grads[last].dispose();
    if (this.#batches % 2 === 0) delete grads[last];
    else grads[last] = tf.ones(value.grads[last].shape, "int32");
    return { ...value, grads } as never;
  }

  updateEnd(run: RunView): void {
    const [name, variable] = Object.entries(run.model.parameters)[0];
    this.seen.push(name, variable.dataSync()[0], run.lastLoss, run.lastGradNorm);
    tf.tidy(() => variable.assign(tf.mul(variable, 0.99)));
    this.seen.push(run.optimizer.iterations, Object.keys(run.optimizer.exportState().tensors));
  }

  values(_: string, values: Readonly<Record<string, number>>): Record<string, number> {
    return { ...values, seen: this.seen.length };
  }
}

/** Everything on a forecast with missing values. */
function forecast(callbacks: unknown[]): RunConfig {
  return smallConfig({
    ...filed,
    backend: "wasm",
    shards: 2,
    rescale: true,
    data: {
      type: "ForecastingArray",
      params: {
        values: series(140, 60),
        channels: 2,
        inputLength: 12,
        outputLength: 4,
        scaler: "zscore",
      },
    },
    optimizer: { type: "AdamW", params: { lr: 0.02 } },
    scheduler: { type: "ReduceLROnPlateau", params: { patience: 0, factor: 0.5 } },
    train: {
      iterations: 9,
      batchSize: 8,
      metrics: true,
      nonFinite: "skip",
      clipGrad: { clipValue: 0.01 },
    },
    validation: { interval: 2 },
    test: { horizons: [1, 3], savePredictions: true },
    earlyStopping: { patience: 3 },
    callbacks: [
      { type: "Curriculum", params: { prediction_length: 4, interval: 3, step_size: 2 } },
      { type: "EMA", params: { decay: 0.5, use_buffers: true } },
      ...callbacks,
    ] as never,
  });
}

test("clipping by value, curriculum, EMA, plateaus, a skip, saved predictions, a program's own hooks", async () => {
  const both = [1, 2].map(async (workers) => {
    const meddler = new Meddler(5);
    const left = await runOf({ ...forecast([meddler]), workers });
    return { left, seen: meddler.seen, file: await left.store.read("predictions.safetensors") };
  });
  const [one, two] = await Promise.all(both);
  assert.equal(one.left.summary.skipped, 1);
  assert.deepEqual(two.seen, one.seen);
  assert.ok(one.file!.length > 0);
  assert.deepEqual(two.file, one.file);
  assertSame(one.left, two.left, "2 workers");
});

/** Every 23 rows end with a batch of 5: leaves of one row, and fewer of them. */
const ragged = { train: regression(23, { missing: 4 }), validation: regression(9, { from: 100 }) };

const rows: [title: string, config: () => RunConfig][] = [
  [
    "ragged batches, averages of Schedule-Free, an auxiliary loss, tests meanwhile",
    () =>
      partsConfig({
        shards: 3,
        data: { type: () => ({ ...ragged, test: regression(7, { from: 200 }) }) },
        optimizer: {
          type: "AdamWScheduleFree",
          params: { lr: 0.05, warmup_steps: 2 },
          groups: [{ match: "frozen", freeze: true }],
        },
        train: { iterations: 9, batchSize: 3, accumulate: 2 },
        test: { interval: 4 },
        callbacks: [{ type: "AuxiliaryLoss", params: { weight: [0.1] } }],
      }),
  ],
  [
    "uniform averages, cycled momentum",
    () =>
      partsConfig({
        data: { type: () => ragged },
        optimizer: { type: "SGD", params: { lr: 0.05, momentum: 0.9 } },
        scheduler: { type: "OneCycleLR", params: { max_lr: 0.1, total_steps: 6 } },
        train: { iterations: 6, batchSize: 5, dropLast: true },
        callbacks: [{ type: "EMA", params: { kind: "swa", update_after_step: 2 } }],
      }),
  ],
  [
    "options that make state in the middle of a run, an update in place by another optimizer",
    () => {
      const other = new WeakMap<RunView, ReturnType<typeof buildOptimizer>>();
      return partsConfig({
        optimizer: { type: "SGD", params: { lr: 0.05 } },
        train: { iterations: 6, batchSize: 5 },
        callbacks: [{
          name: "Changes",
          iterationStart(run: RunView) {
            if (run.state.iteration === 2) run.optimizer.paramGroups[0].momentum = 0.9;
          },
          updateEnd(run: RunView) {
            const { parameters } = run.model;
            const name = "tower0.out";
            if (!other.has(run)) {
              const only = { [name]: parameters[name] };
              other.set(run, buildOptimizer({ type: "SGD", params: { lr: 0.5 } }, only));
            }
            const gradient = tf.neg(parameters[name]);
            other.get(run)!.applyGradients({ [name]: gradient }, { scale: 0.01 });
            gradient.dispose();
          },
        }],
      });
    },
  ],
  [
    "a parameter that is frozen for a while, another from the beginning",
    () =>
      partsConfig({
        optimizer: { type: "AdamW", params: { lr: 0.05 } },
        train: { iterations: 6, batchSize: 5, clipGrad: { maxNorm: 0.1 } },
        callbacks: [{
          name: "Freezes",
          trainStart(run: RunView) {
            (run.model.parameters["tower0.bias"] as { trainable: boolean }).trainable = false;
          },
          iterationStart(run: RunView) {
            const { parameters } = run.model;
            for (const name of ["tower0.tied", "tower0.in", "tower0.bias"]) {
              const frozen = run.state.iteration % 4 >= 2 || name.endsWith("bias");
              (parameters[name] as { trainable: boolean }).trainable = !frozen;
            }
          },
        }],
      }),
  ],
  [
    "imputation",
    () =>
      smallConfig({
        ...filed,
        backend: "wasm",
        shards: 3,
        task: { type: "imputation", params: { ratio: 0.3 } },
        model: {
          type: "Mlp",
          params: { inputLength: 12, outputLength: 12, channels: 2, hidden: [8] },
        },
        data: {
          type: "ForecastingArray",
          params: {
            values: series(120, 30),
            channels: 2,
            inputLength: 12,
            outputLength: 1,
            scaler: "zscore",
          },
        },
        rescale: true,
        train: { iterations: 5, batchSize: 8 },
      }),
  ],
  [
    "classification with class weights",
    () =>
      smallConfig({
        ...filed,
        backend: "cpu",
        shards: 2,
        task: "classification",
        model: { type: "Mlp", params: { inputSize: 3, outputSize: 2, hidden: [4] } },
        data: { type: () => ({ train: labelled(21), validation: labelled(9) }) },
        loss: { type: "crossEntropy", params: { weight: [1, 2] } },
        metrics: ["accuracy"],
        best: { monitor: "accuracy" },
        train: { iterations: 5, batchSize: 4, metrics: true },
      }),
  ],
  [
    "a stream whose passes end in a batch of one row",
    () =>
      linearConfig({
        ...filed,
        backend: "wasm",
        shards: 2,
        model: { type: "Mlp", params: { inputSize: 3, outputSize: 2, hidden: [4] } },
        train: { iterations: 7, batchSize: 2, accumulate: 2, clipGrad: { maxNorm: 0.1 } },
      }, { train: stream(9) } as DataSplits),
  ],
];

for (const [title, config] of rows) {
  test(`2 workers leave the bytes of 1: ${title}`, once, async () => {
    const one = await runOf({ ...config(), workers: 1 });
    const two = await runOf({ ...config(), workers: 2 });
    assert.equal(two.summary.workers, 2);
    assertSame(one, two, title);
  });
}

test("gradients that a callback has kept are refused after the update, with workers and without", async () => {
  for (const workers of [1, 2]) {
    let kept: Record<string, tf.Tensor> | undefined;
    const keeping: Callback = {
      name: "Keeping",
      gradients(value) {
        kept = value.grads;
        return value;
      },
      iterationEnd: () => void kept!["tower0.bias"].dataSync(),
    };
    await assert.rejects(runOf(partsConfig({ workers, callbacks: [keeping] as never })), {
      name: "ConfigError",
      message: "gradients: are freed with the update of their iteration, " +
        '"tower0.bias" was looked at after it: a callback must clone those that it keeps',
    });
  }
});

const answers: [hook: string, value: unknown, message: string][] = [
  ["output", 3, "{ prediction, target, mask } or nothing, received 3"],
  ["loss", { count: 3 }, '{ sum, count } with a scalar sum or nothing, received {"count":3}'],
  ["gradients", null, "{ grads, scale } or nothing, received null"],
];

for (const [hook, value, rule] of answers) {
  test(`a ${hook} hook may return nothing, and not just anything, with workers and without`, async () => {
    const params = { hook, value };
    for (const workers of [1, 2]) {
      const config = partsConfig({ workers, callbacks: [{ type: "Returns", params }] });
      await assert.rejects(runOf(config), {
        name: "ConfigError",
        message: `callbacks: "Returns".${hook} must return ${rule}`,
      });
    }
    const silent = (workers: number) =>
      partsConfig({ workers, callbacks: [{ type: "Returns", params: { hook } }] });
    assertSame(await runOf(silent(1)), await runOf(silent(2)), "2 workers");
  });
}

test("a rollback goes back to the same state", async () => {
  const config = (workers: number) => ({
    ...partsConfig({
      optimizer: { type: "AdamW", params: { lr: 0.05 } },
      train: { iterations: 6, batchSize: 5, nonFinite: { rollback: 1 } },
      callbacks: [spoiling(5)],
    }),
    workers,
  });
  const one = await runOf(config(1));
  const two = await runOf(config(2));
  assert.equal(one.lines.filter((line) => line.includes("going back to iteration 4")).length, 1);
  assert.deepEqual(two.lines, one.lines);
  assertSame(one, two, "2 workers");
});

test("what comes after a stop: predict, validate, weights set by the program, training on, test", async () => {
  const outcome = async (workers: number) => {
    const config = partsConfig({
      workers,
      optimizer: { type: "AdamW", params: { lr: 0.05 } },
      train: { iterations: 7, batchSize: 5 },
      best: { monitor: "val/mse" },
      callbacks: [{
        name: "Stop",
        iterationEnd: (run: RunView) =>
          run.state.iteration === 3 ? run.stop("max-time") : undefined,
      }],
    });
    const output = new Lines();
    const run = await IterationRunner.create(config, { imports, output, store: new MemoryStore() });
    const seen: unknown[] = [];
    const look = async () => {
      const { prediction, ...others } = await run.predict([[0.1, 0.2, 0.3], [1, -1, 2]]);
      seen.push([...prediction.dataSync()]);
      tf.dispose([prediction, others]);
      seen.push(Object.values(run.model.parameters).map((v) => v.dataSync().slice()));
    };
    try {
      seen.push((await run.train()).weightsSha256);
      seen.push(await run.validate(), await run.test());
      await look();
      const { "tower0.bias": bias } = run.model.parameters;
      tf.tidy(() => bias.assign(tf.tensor1d([0.5, -0.5])));
      const { weightsSha256, best, iterations } = await run.train();
      seen.push({ weightsSha256, best, iterations });
      await look();
      return seen;
    } finally {
      run.dispose();
    }
  };
  assert.deepEqual(await outcome(2), await outcome(1));
});

/** Makes the batch of an iteration not finite, once. */
function spoiling(iteration: number): Callback {
  let batches = 0;
  return {
    name: "Spoiling",
    batch(batch) {
      if (++batches !== iteration) return batch;
      const data = new Float32Array(batch.inputs.data.length).fill(NaN);
      return { ...batch, inputs: { ...batch.inputs, data } };
    },
  };
}

function labelled(count: number): ArrayDataset {
  const { inputs } = regression(count).fields;
  const data = Int32Array.from({ length: count }, (_, i) => inputs.data[3 * i] > 0 ? 1 : 0);
  return new ArrayDataset({ inputs, targets: { data, shape: [count] } });
}
