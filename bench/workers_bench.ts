/**
 * Training with workers against training in process: samples a second, what an iteration spends on
 * barrier, reduction and update, and memory.
 *
 *     deno run -A bench/workers_bench.ts [speed] [cost] [memory] [--rounds 60] [--only WORKLOAD,...] [--write FILE]
 *
 * speed: a run with 1 worker and 1 shard, one with 2 workers and 2 shards, and two threads with half of
 * every batch each that share nothing take turns, a score of iterations each, so that a slow moment of
 * the machine meets all; a round's ratio is of turns in a row.
 * cost: phases of an iteration with 2 workers for models of 10k, 1M and 10M parameters.
 * memory: what the process holds with 1 and with 4 workers.
 */
import { writeFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { IterationRunner } from "../src/config/iteration_runner.ts";
import type { RunConfig } from "../src/config/schema.ts";
import { layoutOf } from "../src/parallel/layout.ts";
import type { Callback } from "../src/runner/hooks.ts";
import type { Request } from "./alone_worker.ts";
import { alternate, median } from "./alternate.ts";
import { turnTaker } from "./turns.ts";
import "./worker_models.ts";

const imports = [import.meta.resolve("./worker_models.ts")];

const { values: options, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  strict: false,
  options: { rounds: { type: "string" }, only: { type: "string" }, write: { type: "string" } },
});
const ROUNDS = Number(options.rounds ?? 60);
const parts = positionals.length > 0 ? positionals : ["speed", "cost", "memory"];
const lines: string[] = [];
const say = (line: string): void => {
  console.log(line);
  lines.push(line);
};

interface Workload {
  readonly model: RunConfig["model"];
  readonly data: RunConfig["data"];
  readonly batchSize: number;
  /** What the ratio has to reach. */
  readonly bar: number;
}

const drawn = (inputs: number[], targets: number[], samples: number): RunConfig["data"] => ({
  type: "Drawn",
  params: { inputs, targets, samples },
});
const series = { inputLength: 336, outputLength: 96, channels: 7 };
const workloads: Record<string, Workload> = {
  patch_forecaster: {
    model: { type: "PatchTST", params: { ...series, norm: "layer", dropout: 0 } },
    data: drawn([336, 7], [96, 7], 512),
    batchSize: 64,
    bar: 1.7,
  },
  transformer_block: {
    model: { type: "TransformerBlock", params: {} },
    data: drawn([42, 64], [42, 64], 512),
    batchSize: 64,
    bar: 1.7,
  },
  dlinear: {
    model: { type: "DLinear", params: series },
    data: drawn([336, 7], [96, 7], 2048),
    batchSize: 256,
    bar: 1.4,
  },
};

function configOf(
  { model, data, batchSize }: Omit<Workload, "bar">,
  workers: number,
  iterations = 1,
): RunConfig {
  return {
    backend: "wasm",
    workers,
    shards: workers,
    model,
    data,
    metrics: [],
    optimizer: { type: "AdamW", params: { lr: 1e-3 } },
    train: { iterations, batchSize },
    checkpoint: false,
    log: { progress: false, interval: iterations },
  };
}

/** Rounds in which the engines compile what is hot. */
const WARMUP = 20;
/** Where threads that share nothing are so much faster than one thread is as a rule, each has a core. */
const QUIET = 1.9;

/** Two threads, each of which trains half of every batch in process: nothing is shared or summed. */
async function independentHalves(workload: Workload, turns: number) {
  const half = { ...workload, batchSize: workload.batchSize / 2 };
  const url = new URL("./alone_worker.ts", import.meta.url);
  const threads = [0, 1].map(() => new Worker(url, { type: "module" }));
  const ask = (request: Request): Promise<number[]> => {
    const answers = threads.map((thread) =>
      new Promise<number>((resolve, reject) => {
        thread.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
        thread.onerror = (event) => reject(new Error(event.message));
      })
    );
    for (const thread of threads) thread.postMessage(request);
    return Promise.all(answers);
  };
  await ask({ config: configOf(half, 1), turns });
  return {
    round: async (): Promise<number> => Math.max(...await ask("turn")),
    end: () => threads.forEach((thread) => thread.terminate()),
  };
}

async function speed(): Promise<void> {
  say(
    "Medians over rounds. The limit is the speed-up of two threads that train half of every batch " +
      "each and share nothing: 2 where each has a core of its own. In quiet rounds, before and after 2 " +
      `workers, these are at least ${QUIET} times as fast as the median of 1 worker.`,
  );
  say("");
  say(
    "| workload | batch | bar | 1 worker, samples/s | 2 workers | rounds | ratio | limit | " +
      "ratio / limit | quiet rounds | ratio | limit |",
  );
  say(`| --- |${" ---: |".repeat(11)}`);
  for (const [name, workload] of Object.entries(workloads)) {
    if (options.only !== undefined && !String(options.only).split(",").includes(name)) continue;
    const { one, before, two, after } = await roundsOf(workload);
    const { batchSize, bar } = workload;
    const perSecond = (ms: number[]) => Math.round(1000 * batchSize / median(ms));
    const ratios = one.map((ms, i) => ms / two[i]);
    const limits = one.map((ms, i) => ms / ((before[i] + after[i]) / 2));
    const most = median(one) / QUIET;
    const quiet = [...one.keys()].filter((i) => Math.max(before[i], after[i]) <= most);
    const middle = (values: number[]) => values.length === 0 ? "-" : median(values).toFixed(2);
    const cells = [
      ...[name, batchSize, bar, perSecond(one), perSecond(two), one.length],
      ...[middle(ratios), middle(limits), middle(ratios.map((ratio, i) => ratio / limits[i]))],
      ...[quiet.length, middle(quiet.map((i) => ratios[i])), middle(quiet.map((i) => limits[i]))],
    ];
    say(`| ${cells.join(" | ")} |`);
  }
}

async function roundsOf(
  workload: Workload,
): Promise<Record<"one" | "before" | "two" | "after", number[]>> {
  const turns = WARMUP + ROUNDS;
  // The halves come before and after 2 workers.
  const one = await turnTaker(configOf(workload, 1), turns);
  const two = await turnTaker(configOf(workload, 2), turns);
  const halves = await independentHalves(workload, 2 * turns);
  const variants = { one: one.round, before: halves.round, two: two.round, after: halves.round };
  const times = await alternate(variants, ROUNDS, WARMUP);
  await Promise.all([one.end(), two.end()]);
  halves.end();
  one.losses.forEach((loss, i) => {
    if (Math.abs(loss - two.losses[i]) <= 1e-5 * Math.abs(loss)) return;
    throw new Error(`the losses differ: ${loss} and ${two.losses[i]}`);
  });
  return times;
}

async function cost(): Promise<void> {
  say(
    "| parameters | iteration, ms | load | compute | barrier | reduce | update | reduction, GB/s | " +
      "copy, GB/s | the same arrays again |",
  );
  say(`|${" ---: |".repeat(10)}`);
  for (const size of [10_000, 1_000_000, 10_000_000]) {
    const laps: Record<string, number>[] = [];
    const config = configOf(
      {
        model: { type: "Many", params: { size } },
        data: drawn([4], [4], 64),
        batchSize: 2,
      },
      2,
      30,
    );
    const run = await IterationRunner.create({
      ...config,
      log: { progress: false, interval: 1 },
      callbacks: [{
        name: "laps",
        log: (...[, , , run]: Parameters<NonNullable<Callback["log"]>>) =>
          void laps.push(run.timing.lap()),
      }],
    } as RunConfig, { imports });
    await run.train();
    run.dispose();
    const of = (name: string): number => median(laps.slice(5).map((lap) => lap[name]));
    // Two gradients are read and one is written (and, from the cache, read again for its squares).
    const bandwidth = 3 * 4 * size / (of("reduceMs") * 1e6);
    say(
      `| ${size} | ` + ["iterationMs", "loadMs", "computeMs", "barrierMs", "reduceMs", "updateMs"]
        .map((name) => of(name).toFixed(2)).join(" | ") +
        ` | ${bandwidth.toFixed(1)} | ${copyBandwidth(size, TOUCHED).toFixed(1)}` +
        ` | ${copyBandwidth(size, 2).toFixed(1)} |`,
    );
  }
}

/**
 * Arrays as large as the parameters that an iteration of 2 workers reads and writes, with AdamW: both
 * sides of parameters and state, 2 chunks, and parameters and gradient in each worker.
 */
const TOUCHED = 12;

/**
 * Bytes read and written a second by a plain copy of as many elements in shared memory, in GB/s.
 *
 * @param arrays How many take turns; with few of them what is copied is in the cache.
 */
function copyBandwidth(size: number, arrays: number): number {
  const all = Array.from(
    { length: arrays },
    () => new Float32Array(new SharedArrayBuffer(4 * size)).fill(1),
  );
  const repeats = Math.max(1, Math.round(1e7 / size));
  let turn = 0;
  const times = Array.from({ length: 9 }, () => {
    const begin = performance.now();
    for (let i = 0; i < repeats; i++, turn += 2) all[(turn + 1) % arrays].set(all[turn % arrays]);
    return (performance.now() - begin) / repeats;
  });
  return 2 * 4 * size / (median(times) * 1e6);
}

async function memory(): Promise<void> {
  say(
    "| workers | parameters, MiB | with optimizer state, two sides | gradients | shared in all | " +
      "rss before | while training |",
  );
  say(`| ---: |${" ---: |".repeat(6)}`);
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  const size = 10_000_000;
  for (const workers of [1, 4]) {
    const before = process.memoryUsage().rss;
    let most = 0;
    const config = configOf(
      {
        model: { type: "Many", params: { size } },
        data: drawn([4], [4], 64),
        batchSize: 4,
      },
      workers,
      10,
    );
    const run = await IterationRunner.create({
      ...config,
      callbacks: [{
        name: "memory",
        updateEnd: () => void (most = Math.max(most, process.memoryUsage().rss)),
      }],
    } as RunConfig, { imports });
    await run.train();
    const place = layoutOf(run.model, run.optimizer, { workers, chunks: workers, mailboxBytes: 0 });
    run.dispose();
    const { sideBytes, chunks } = place;
    const shared = [2 * sideBytes, chunks.count * chunks.bytes, place.bytes].map(mib);
    const cells = workers === 1 ? ["-", "-", "-"] : shared;
    say(`| ${[workers, mib(4 * size), ...cells, mib(before), mib(most)].join(" | ")} |`);
  }
}

const all: Record<string, () => Promise<void>> = { speed, cost, memory };
say(
  `# Workers\n\n${os.cpus()[0]?.model}, ${os.cpus().length} cores, load ${
    os.loadavg()[0].toFixed(1)
  }.`,
);
for (const part of parts) {
  say(`\n## ${part}\n`);
  await all[part]();
}
if (options.write !== undefined) writeFileSync(String(options.write), `${lines.join("\n")}\n`);
