/** A long run: what it holds must not grow. */
import { strict as assert } from "node:assert";
import { readdirSync } from "node:fs";
import process from "node:process";
import { type Callback, IterationRunner } from "../../mod.ts";
import * as tf from "../../src/tensor/tf.ts";
import { Lines, smallConfig, withFolder } from "../support/runs.ts";

/** What a run held, at a tenth of it and at its end. */
export interface SoakFigures {
  iterations: number;
  checkpoints: number;
  evaluations: number;
  tensors: [number, number];
  descriptors: [number, number];
  /** Bytes of the process, least of the samples in the second and in the last tenth. */
  rss: [number, number];
}

/** Open files of this process; 0 where that is not told: Deno reads /proc only with all permissions. */
function descriptors(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** Trains `iterations` with a thousand checkpoints and a thousand validations. */
export async function soak(iterations: number, backend: "wasm" | "cpu"): Promise<SoakFigures> {
  const period = Math.max(1, Math.floor(iterations / 1000));
  const samples: { tensors: number; descriptors: number; rss: number }[] = [];
  let checkpoints = 0, evaluations = 0;
  const watch: Callback = {
    name: "TensorBoard",
    save: () => void checkpoints++,
    validationEnd: () => void evaluations++,
    iterationEnd: (run) => {
      if (run.state.iteration % Math.max(1, Math.floor(iterations / 200)) !== 0) return;
      samples.push({
        tensors: tf.memory().numTensors,
        descriptors: descriptors(),
        rss: process.memoryUsage().rss,
      });
    },
  };
  await withFolder(async (directory) => {
    const run = await IterationRunner.create(
      {
        ...smallConfig({
          name: "soak",
          backend,
          train: { iterations, batchSize: 4 },
          validation: { interval: period, limitBatches: 1 },
          checkpoint: { directory, interval: period, keep: 2 },
          log: { interval: period, progress: false, tensorboard: false },
        }),
        callbacks: [watch],
      },
      { output: new Lines() },
    );
    const summary = await run.train();
    assert.equal(summary.iterations, iterations);
    run.dispose();
  });
  const part = (from: number, to: number) =>
    samples.slice(Math.floor(samples.length * from), Math.floor(samples.length * to));
  const early = part(0.1, 0.3), late = part(0.8, 1);
  const least = (list: typeof samples, key: keyof typeof samples[0]) =>
    Math.min(...list.map((sample) => sample[key]));
  const pick = (
    key: keyof typeof samples[0],
  ): [number, number] => [least(early, key), least(late, key)];
  return {
    iterations,
    checkpoints,
    evaluations,
    tensors: pick("tensors"),
    descriptors: pick("descriptors"),
    rss: pick("rss"),
  };
}
