/**
 * Training with workers against training in process: samples a second, what an iteration spends on
 * barrier, reduction and update, and memory.
 *
 *     deno run -A bench/workers_bench.ts [speed] [cost] [memory] [--rounds 5] [--only WORKLOAD,...] [--write FILE]
 *
 * speed: 1 worker with 1 shard and 2 workers with 2 shards take turns. Samples a second are those of
 * the second half of a run, from update to update, when the engines have compiled what is hot; the
 * ratio is the median over rounds.
 * cost: phases of an iteration with 2 workers for models of 10k, 1M and 10M parameters.
 * memory: what the process holds with 1 and with 4 workers.
 */
import { writeFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { IterationRunner } from "../src/config/iteration_runner.ts";
import type { RunConfig } from "../src/config/schema.ts";
import type { Callback } from "../src/runner/hooks.ts";
import { alternate, median } from "./alternate.ts";
import "./worker_models.ts";

const imports = [import.meta.resolve("./worker_models.ts")];

const { values: options, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  strict: false,
  options: { rounds: { type: "string" }, only: { type: "string" }, write: { type: "string" } },
});
const ROUNDS = Number(options.rounds ?? 5);
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
  readonly iterations: number;
  /** What the issue of speed asks for. */
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
    iterations: 150,
    bar: 1.7,
  },
  transformer_block: {
    model: { type: "TransformerBlock", params: {} },
    data: drawn([42, 64], [42, 64], 512),
    batchSize: 64,
    iterations: 1200,
    bar: 1.7,
  },
  dlinear: {
    model: { type: "DLinear", params: series },
    data: drawn([336, 7], [96, 7], 2048),
    batchSize: 256,
    iterations: 2400,
    bar: 1.4,
  },
};

function configOf(
  { model, data, batchSize, iterations }: Omit<Workload, "bar">,
  workers: number,
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

/** Iterations of a turn, and how many of them come before the clock starts. */
const TURN = 20, UNTIMED = 3;

/** A run that trains a turn at a time, and its losses. */
async function turnTaker(config: RunConfig, turns: number) {
  const losses: number[] = [];
  let iterations = 0, begin = 0;
  let goOn = (): void => {};
  let endTurn: (msPerIteration: number) => void = () => {};
  const turn = () => new Promise<void>((resolve) => goOn = resolve);
  const callback: Callback = {
    name: "turns",
    trainStart: turn,
    updateEnd(run) {
      if (losses.length < 20) losses.push(run.lastLoss);
      iterations++;
      // Workers compute the next gradient while a turn is waited for; the first ones do not count.
      if (iterations % TURN === UNTIMED) begin = performance.now();
      if (iterations % TURN !== 0) return;
      endTurn((performance.now() - begin) / (TURN - UNTIMED));
      if (iterations < TURN * turns) return turn();
    },
  };
  const train = { ...config.train, iterations: TURN * turns };
  const log = { progress: false, interval: train.iterations };
  const run = await IterationRunner.create({ ...config, train, log, callbacks: [callback] }, {
    imports,
  });
  const training = run.train();
  const round = (): Promise<number> =>
    new Promise((resolve, reject) => {
      training.catch(reject);
      endTurn = resolve;
      goOn();
    });
  const end = async (): Promise<void> => {
    await training;
    run.dispose();
  };
  return { losses, round, end };
}

async function speed(): Promise<void> {
  say("| workload | batch | 1 worker, samples/s | 2 workers | ratio | bar |");
  say("| --- | ---: | ---: | ---: | ---: | ---: |");
  for (const [name, workload] of Object.entries(workloads)) {
    if (options.only !== undefined && !String(options.only).split(",").includes(name)) continue;
    const warmup = 20;
    const [one, two] = [
      await turnTaker(configOf(workload, 1), warmup + ROUNDS),
      await turnTaker(configOf(workload, 2), warmup + ROUNDS),
    ];
    const times = await alternate({ one: one.round, two: two.round }, ROUNDS, warmup);
    await Promise.all([one.end(), two.end()]);
    one.losses.forEach((loss, i) => {
      if (Math.abs(loss - two.losses[i]) <= 1e-5 * Math.abs(loss)) return;
      throw new Error(`${name}: the losses differ: ${loss} and ${two.losses[i]}`);
    });
    const ratios = times.one.map((ms, i) => ms / times.two[i]);
    console.log(ratios.map((x) => x.toFixed(2)).join(" "));
    console.log(times.one.map((x) => x.toFixed(1)).join(" "));
    const samples = (ms: number[]) => (1000 * workload.batchSize / median(ms)).toFixed(0);
    say(
      `| ${name} | ${workload.batchSize} | ${samples(times.one)} | ${samples(times.two)} | ` +
        `${median(ratios).toFixed(2)} | ${workload.bar} |`,
    );
  }
}

async function cost(): Promise<void> {
  say(
    "| parameters | iteration, ms | load | compute | barrier | reduce | update | reduction, GB/s | copy, GB/s |",
  );
  say("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
  for (const size of [10_000, 1_000_000, 10_000_000]) {
    const laps: Record<string, number>[] = [];
    const config = configOf({
      model: { type: "Many", params: { size } },
      data: drawn([4], [4], 64),
      batchSize: 2,
      iterations: 30,
    }, 2);
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
        ` | ${bandwidth.toFixed(1)} | ${copyBandwidth(size).toFixed(1)} |`,
    );
  }
}

/** Bytes read and written a second by a plain copy of as many elements in shared memory, in GB/s. */
function copyBandwidth(size: number): number {
  const [from, to] = [0, 1].map(() => new Float32Array(new SharedArrayBuffer(4 * size)));
  const repeats = Math.max(1, Math.round(1e7 / size));
  const times = Array.from({ length: 9 }, () => {
    const begin = performance.now();
    for (let i = 0; i < repeats; i++) to.set(from);
    return (performance.now() - begin) / repeats;
  });
  return 2 * 4 * size / (median(times) * 1e6);
}

async function memory(): Promise<void> {
  say("| workers | rss before, MiB | while training | parameters, MiB |");
  say("| ---: | ---: | ---: | ---: |");
  const size = 10_000_000;
  for (const workers of [1, 4]) {
    const before = process.memoryUsage().rss;
    let most = 0;
    const config = configOf({
      model: { type: "Many", params: { size } },
      data: drawn([4], [4], 64),
      batchSize: 4,
      iterations: 10,
    }, workers);
    const run = await IterationRunner.create({
      ...config,
      callbacks: [{
        name: "memory",
        updateEnd: () => void (most = Math.max(most, process.memoryUsage().rss)),
      }],
    } as RunConfig, { imports });
    await run.train();
    run.dispose();
    const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
    say(`| ${workers} | ${mib(before)} | ${mib(most)} | ${mib(4 * size)} |`);
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
