/** Runs of a small model whose reads are counted, with iterations that are not finite. */
import { IterationRunner, type RunConfig } from "../../mod.ts";
import { runtime } from "../../src/core/host.ts";
import { smallConfig } from "../support/runs.ts";
import { optimizerConfigs } from "../support/optimizer_configs.ts";
import type { Callback } from "../../src/runner/hooks.ts";
import * as tf from "../../src/tensor/tf.ts";

/** What a run did. */
export interface ReadRun {
  /** Reads of the device in each iteration, up to its update. */
  readonly reads: number[];
  readonly skipped: number;
  /** Updates as the optimizer counts them, then the parameters. */
  readonly steps: number[];
  readonly values: number[];
  readonly leaked: number;
}

/** The ways to clip, and one without; a leaf of its own and several. */
export const readCases: Readonly<Record<string, Record<string, unknown>>> = {
  "no clipping": {},
  "one leaf, by norm": { clipGrad: { max_norm: 0.1 } },
  "four leaves, by norm": { clipGrad: { max_norm: 0.1 }, batchSize: 4, accumulate: 4 },
  "four leaves, by value": { clipGrad: { clip_value: 0.01 }, batchSize: 4, accumulate: 4 },
  "one leaf, by largest": { clipGrad: { max_norm: 0.05, norm_type: "inf" } },
};

/** Those for webgpu; elsewhere than in Deno two, as runtimes differ in the driver. */
export const webgpuCases: [name: string, train: Record<string, unknown>][] = Object.entries(
  readCases,
).filter(([name]) => runtime === "deno" || name.endsWith("by norm"));

/** Every optimizer that a run can train with; what perturbs takes a second gradient, and reads it. */
export const readTypes: readonly { config: ComponentConfig; reads: 1 | 2 }[] = optimizerConfigs
  .filter(({ type }) => type !== "LBFGS")
  .map((config) => ({ config, reads: /SAM$/.test(config.type) ? 2 : 1 }));

type ComponentConfig = { type: string; params: Record<string, unknown> };

/** Few iterations: shaders of every type are compiled. */
export const readsOfType = (
  backend: "cpu" | "wasm" | "webgpu",
  config: ComponentConfig,
): Promise<ReadRun> => countReads(backend, { iterations: 3, metrics: false }, config);

/** Trains 8 iterations; the loss of the first is NaN, that of the fifth infinite. */
export async function countReads(
  backend: "cpu" | "wasm" | "webgpu",
  train: Record<string, unknown>,
  optimizer: ComponentConfig = { type: "AdamW", params: { lr: 0.01 } },
): Promise<ReadRun> {
  const reads: number[] = [];
  let restore = (): void => {};
  const counter: Callback = {
    name: "Reads",
    iterationStart() {
      reads.push(0);
      restore = countCalls(() => reads[reads.length - 1]++);
    },
    loss(value, { iteration }) {
      const factor = iteration === 1 ? NaN : iteration === 5 ? Infinity : 1;
      return { ...value, sum: tf.mul(value.sum, factor) };
    },
    iterationEnd: () => restore(),
    log: () => restore(),
  };
  const config: RunConfig = smallConfig({
    backend,
    optimizer,
    train: { iterations: 8, batchSize: 8, nonFinite: "skip", metrics: true, ...train },
    validation: { interval: 100 },
    log: { interval: 100 },
    callbacks: [counter],
  });
  const run = await IterationRunner.create(config, { output: { line() {} } });
  // The first backend that is asked for is made on the way, so tensors are counted from here.
  const tensors = tf.memory().numTensors;
  await run.train();
  const { tensors: slots, meta } = run.optimizer.exportState();
  const leaked = tf.memory().numTensors - tensors - Object.keys(slots).length;
  const weights = Object.values(run.model.parameters);
  const values = (await Promise.all(weights.map((weight) => weight.data()))).flatMap((
    of,
  ) => [...of]);
  const steps = Object.values(meta.numbers).map(({ step }) => step);
  const { skipped } = run.state;
  run.dispose();
  return { reads, skipped, steps: [meta.iterations, ...steps], values, leaked };
}

/**
 * Calls `note` at every read of a tensor, until the result is called. On cpu and wasm,
 * where a synchronous read is an access to memory, only the others count.
 */
function countCalls(note: () => void): () => void {
  const engine = tf.engine();
  const { read, readSync } = engine;
  engine.read = function (dataId) {
    note();
    return read.call(this, dataId);
  };
  engine.readSync = function (dataId) {
    if (tf.getBackend() === "webgpu") note();
    return readSync.call(this, dataId);
  };
  return () => Object.assign(engine, { read, readSync });
}
