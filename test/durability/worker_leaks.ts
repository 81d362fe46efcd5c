/** Runs with workers, created, trained and disposed of one after the other: `worker_leaks.ts RUNS`. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Arena } from "../../src/parallel/arena.ts";
import * as tf from "../../src/tensor/tf.ts";
import { trainMortal } from "../support/mortal_runs.ts";
import { withFolder } from "../support/runs.ts";

/** What the process held after the first runs and after the last ones. */
export interface LeakFigures {
  runs: number;
  /** The fewest of the first and of the last few. */
  threads: [number, number];
  descriptors: [number, number];
  tensors: [number, number];
  /** In MB. */
  rss: [number, number];
  /** Shared memories that the garbage collector has not freed. */
  memories: number;
}

interface Sample {
  readonly threads: number;
  readonly descriptors: number;
  readonly tensors: number;
  readonly rss: number;
}

/** Runs that warm up caches and pools, and runs whose least value counts: threads take time to end. */
const WARM_UP = 3, FEW = 3;

async function leaks(runs: number): Promise<LeakFigures> {
  const samples: Sample[] = [];
  const memories: WeakRef<object>[] = [];
  const { create } = Arena;
  Arena.create = (layout) => {
    const arena = create(layout);
    memories.push(new WeakRef(arena.memory));
    return arena;
  };
  await withFolder(async (folder) => {
    for (let i = 0; i < runs; i++) {
      const { error } = await trainMortal(join(folder, `${i}`), { iterations: 2 });
      if (error !== undefined) throw error;
      await collect();
      samples.push({
        threads: count("task"),
        descriptors: count("fd"),
        tensors: tf.memory().numTensors,
        rss: process.memoryUsage().rss / 1e6,
      });
      if (runs > 20 && i % 10 === 0) console.error(JSON.stringify({ i, ...samples[i] }));
    }
  });
  await collect();
  await collect();
  const least = (from: number, key: keyof Sample): number =>
    Math.min(...samples.slice(from, from + FEW).map((sample) => sample[key]));
  const ends = (
    key: keyof Sample,
  ): [number, number] => [least(WARM_UP, key), least(runs - FEW, key)];
  return {
    runs,
    threads: ends("threads"),
    descriptors: ends("descriptors"),
    tensors: ends("tensors"),
    rss: ends("rss"),
    memories: memories.filter((memory) => memory.deref() !== undefined).length,
  };
}

async function collect(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 50));
  (globalThis as { gc?: () => void }).gc?.();
  (globalThis as { Bun?: { gc(force: boolean): void } }).Bun?.gc(true);
}

/** What /proc says this process has; 0 where there is none. */
function count(what: "task" | "fd"): number {
  return existsSync(`/proc/self/${what}`) ? readdirSync(`/proc/self/${what}`).length : 0;
}

const [runs] = process.argv.slice(2);
if (runs !== undefined && /worker_leaks\.[jt]s$/.test(process.argv[1])) {
  console.log(JSON.stringify(await leaks(Number(runs))));
}
