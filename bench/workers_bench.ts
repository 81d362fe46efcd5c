/**
 * Training with workers against training in process: samples a second, what an iteration spends on
 * barrier, reduction and update, and memory.
 *
 *     deno run -A bench/workers_bench.ts [speed] [cost] [memory] [--rounds 60] [--only WORKLOAD,...] [--write FILE]
 *
 * speed: a run with 1 worker and 1 shard and one with 2 workers and 2 shards take turns, a score of
 * iterations each, so that a slow moment of the machine meets both; a round's ratio is of two turns in
 * a row. Two threads that share nothing say whether others used the cores.
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
import { median } from "./alternate.ts";
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
  iterations: number,
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
/** Rounds in which the engines compile what is hot. */
const WARMUP = 20;
/** Times the shortest time of the probe: up to this, nobody else uses the two cores. */
const QUIET = 1.25;

/** A run that trains a turn at a time, and its losses. */
async function turnTaker(config: RunConfig, turns: number) {
  const losses: number[] = [];
  let iterations = 0, begin = 0;
  let isReady = (): void => {}, goOn = (): void => {};
  let endTurn: (msPerIteration: number) => void = () => {};
  const ready = new Promise<void>((resolve) => isReady = resolve);
  const turn = () => new Promise<void>((resolve) => goOn = resolve);
  const callback: Callback = {
    name: "turns",
    trainStart() {
      isReady();
      return turn();
    },
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
  const run = await IterationRunner.create({ ...config, callbacks: [callback] }, { imports });
  const training = run.train();
  await Promise.race([ready, training]);
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

/** Milliseconds that each of two threads takes for the same work, both at once. */
async function coreProbe() {
  const url = new URL("./core_worker.ts", import.meta.url);
  const threads = [0, 1].map(() => new Worker(url, { type: "module" }));
  const answer = (thread: Worker): Promise<number> =>
    new Promise((resolve) => thread.onmessage = ({ data }: MessageEvent<number>) => resolve(data));
  await Promise.all(threads.map(answer));
  let shortest = Infinity;
  return {
    async times(): Promise<number[]> {
      const answers = threads.map(answer);
      for (const thread of threads) thread.postMessage(undefined);
      const times = await Promise.all(answers);
      shortest = Math.min(shortest, ...times);
      return times;
    },
    shortest: () => shortest,
    end: () => threads.forEach((thread) => thread.terminate()),
  };
}

/** Milliseconds an iteration with 1 and with 2 workers, and of the probe before and after. */
interface Round {
  readonly one: number;
  readonly two: number;
  readonly probe: readonly number[];
}

async function speed(): Promise<void> {
  say(
    "Medians of all rounds, and of the quiet ones: before and after these, two threads that share " +
      `nothing took at most ${QUIET} times their shortest time, both at once.`,
  );
  say("");
  say(
    "| workload | batch | bar | rounds | 1 worker, samples/s | 2 workers | ratio | quiet rounds | " +
      "1 worker, samples/s | 2 workers | ratio |",
  );
  say(`| --- |${" ---: |".repeat(10)}`);
  const probe = await coreProbe();
  for (const [name, workload] of Object.entries(workloads)) {
    if (options.only !== undefined && !String(options.only).split(",").includes(name)) continue;
    const rounds = await roundsOf(workload, probe.times);
    const most = QUIET * probe.shortest();
    const quiet = rounds.filter(({ probe }) => Math.max(...probe) <= most);
    const { batchSize, bar } = workload;
    const cells = (of: readonly Round[]): (string | number)[] => {
      if (of.length === 0) return [0, "-", "-", "-"];
      const perSecond = (ms: number[]) => Math.round(1000 * batchSize / median(ms));
      const ratio = median(of.map(({ one, two }) => one / two)).toFixed(2);
      return [of.length, perSecond(of.map((r) => r.one)), perSecond(of.map((r) => r.two)), ratio];
    };
    say(`| ${[name, batchSize, bar, ...cells(rounds), ...cells(quiet)].join(" | ")} |`);
  }
  probe.end();
}

async function roundsOf(workload: Workload, times: () => Promise<number[]>): Promise<Round[]> {
  const turns = WARMUP + ROUNDS;
  const one = await turnTaker(configOf(workload, 1, TURN * turns), turns);
  const two = await turnTaker(configOf(workload, 2, TURN * turns), turns);
  const rounds: Round[] = [];
  let before = await times();
  for (let i = 0; i < turns; i++) {
    const first = i % 2 === 0 ? one : two;
    const ms = new Map([[first, await first.round()]]);
    const other = first === one ? two : one;
    ms.set(other, await other.round());
    const after = await times();
    if (i >= WARMUP) {
      rounds.push({ one: ms.get(one)!, two: ms.get(two)!, probe: [...before, ...after] });
    }
    before = after;
  }
  await Promise.all([one.end(), two.end()]);
  one.losses.forEach((loss, i) => {
    if (Math.abs(loss - two.losses[i]) <= 1e-5 * Math.abs(loss)) return;
    throw new Error(`the losses differ: ${loss} and ${two.losses[i]}`);
  });
  return rounds;
}

async function cost(): Promise<void> {
  say(
    "| parameters | iteration, ms | load | compute | barrier | reduce | update | reduction, GB/s | copy, GB/s |",
  );
  say("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
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
