/** A long run: what it holds must not grow. */
import { strict as assert } from "node:assert";
import { readdirSync } from "node:fs";
import process from "node:process";
import { type Callback, IterationRunner } from "../../mod.ts";
import * as tf from "../../src/tensor/tf.ts";
import { Lines, smallConfig, withFolder } from "../support/runs.ts";

/** What a run held after a fifth of it and at its end. */
export interface SoakFigures {
  iterations: number;
  checkpoints: number;
  evaluations: number;
  tensors: [number, number];
  descriptors: [number, number];
  /** Bytes of the process in MB, from a fifth of the run on, and their slope. */
  rss: [number, number];
  rssPer10000: number;
}

interface Sample {
  readonly iteration: number;
  readonly tensors: number;
  readonly descriptors: number;
  readonly rss: number;
}

/** Trains `iterations` with a thousand checkpoints and a thousand validations. */
export async function soak(iterations: number, backend: "wasm" | "cpu"): Promise<SoakFigures> {
  const period = Math.max(1, Math.floor(iterations / 1000));
  const samples: Sample[] = [];
  let checkpoints = 0, evaluations = 0;
  const watch: Callback = {
    name: "TensorBoard",
    save: () => void checkpoints++,
    validationEnd: () => void evaluations++,
    iterationEnd: (run) => {
      const { iteration } = run.state;
      if (iteration * 5 < iterations || iteration % Math.ceil(iterations / 50) !== 0) return;
      // Garbage is no growth; where it can be asked for, it is collected first.
      (globalThis as { gc?: () => void }).gc?.();
      samples.push({
        iteration,
        tensors: tf.memory().numTensors,
        descriptors: descriptors(),
        rss: process.memoryUsage().rss / 1e6,
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
  const ends = (key: keyof Sample): [number, number] => [samples[0][key], samples.at(-1)![key]];
  return {
    iterations,
    checkpoints,
    evaluations,
    tensors: ends("tensors"),
    descriptors: ends("descriptors"),
    rss: ends("rss"),
    rssPer10000: slope(samples) * 10_000,
  };
}

/** Least squares of rss over iterations. */
function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const x = mean(({ iteration }) => iteration), y = mean(({ rss }) => rss);
  return mean((s) => (s.iteration - x) * (s.rss - y)) / mean((s) => (s.iteration - x) ** 2);
}

/** Open files of this process; 0 where that is not told: Deno reads /proc only with all permissions. */
function descriptors(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}
