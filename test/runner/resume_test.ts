/** A run that was stopped or killed anywhere and resumed ends as if nothing had happened: the same bytes. */
import { strict as assert } from "node:assert";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig, type RunView } from "../../mod.ts";
import { CheckpointDirectory } from "../../src/checkpoint/checkpoint.ts";
import { FileStore } from "../../src/checkpoint/file_store.ts";
import {
  Lines,
  type Overrides,
  series,
  smallConfig,
  trainOnce,
  withFolder,
} from "../support/runs.ts";

import { normed, regression } from "./support.ts";

/** 12 iterations with everything on that has state. */
function config(directory: string, overrides: Overrides = {}): RunConfig {
  return smallConfig({
    name: "run",
    model: {
      type: "Mlp",
      params: { inputLength: 12, outputLength: 4, channels: 2, hidden: [6], dropout: 0.3 },
    },
    data: {
      type: "ForecastingArray",
      params: { values: series(110, 40), channels: 2, inputLength: 12, outputLength: 4 },
    },
    optimizer: { type: "AdamW", params: { lr: 0.02 }, noDecay: "auto" },
    scheduler: { type: "CosineWarmup", params: { num_warmup_steps: 3, num_training_steps: 12 } },
    // Epochs of 58 windows: 5 iterations, the last one ragged.
    train: {
      iterations: 12,
      batchSize: 6,
      accumulate: 2,
      metrics: true,
      clipGrad: { maxNorm: 0.5 },
    },
    validation: { interval: 3 },
    test: { interval: 5 },
    log: { interval: 5, progress: false, tensorboard: false },
    earlyStopping: { patience: 9 },
    checkpoint: { directory, interval: 4, keep: null },
    callbacks: [
      { type: "EMA", params: { decay: 0.8, update_after_step: 2 } },
      { type: "Curriculum", params: { prediction_length: 2, interval: 4 } },
      "LearningRateMonitor",
    ],
    ...overrides,
  });
}

/** Everything that must not depend on how often the run was interrupted. */
async function outcome(config: RunConfig, directory: string) {
  const { summary: { seconds: _, samplesPerSecond: __, ...summary } } = await trainOnce(config);
  const file = (name: string) => readFileSync(join(directory, "run", name)).toString("latin1");
  return {
    summary,
    metrics: file("metrics.jsonl"),
    best: file("checkpoints/best.safetensors"),
    last: file(`checkpoints/step-${String(summary.iterations).padStart(8, "0")}.safetensors`),
  };
}

/** Runs until iteration `k`: there a signal stops it, or an error kills it. */
async function interrupt(config: RunConfig, k: number, how: "signal" | "kill"): Promise<void> {
  const callback: Callback = {
    // Reports do not enter the fingerprint, and the interrupted run must be the same as the other.
    name: "ProgressBar",
    iterationEnd: (run: RunView) => {
      if (how === "signal" && run.state.iteration === k) run.stop("signal");
    },
    iterationStart: (run: RunView) => {
      if (how === "kill" && run.state.iteration === k) throw new Error("killed");
    },
  };
  const run = await IterationRunner.create(
    { ...config, callbacks: [...config.callbacks ?? [], callback] },
    { output: new Lines() },
  );
  try {
    if (how === "kill") await assert.rejects(run.train(), /killed/);
    else {
      const summary = await run.train();
      assert.equal(summary.finished, k === 12 ? "iterations" : "signal");
      assert.equal(summary.iterations, k);
      assert.equal(summary.test === undefined, k < 12);
    }
  } finally {
    run.dispose();
  }
}

const expected = new Map<string, Promise<Awaited<ReturnType<typeof outcome>>>>();

/** The uninterrupted run of a config, made once. */
function whole(title: string, overrides: Overrides) {
  let found = expected.get(title);
  if (found === undefined) {
    found = withFolder((directory) => outcome(config(directory, overrides), directory));
    expected.set(title, found);
  }
  return found;
}

async function compare(
  title: string,
  overrides: Overrides,
  steps: readonly (readonly [number, "signal" | "kill"])[],
): Promise<void> {
  const wanted = await whole(title, overrides);
  await withFolder(async (directory) => {
    const same = config(directory, overrides);
    for (const [k, how] of steps) await interrupt(same, k, how);
    assert.deepEqual(await outcome(same, directory), wanted, JSON.stringify(steps));
  });
}

test("a run stopped by a signal after any iteration and resumed ends with the same bytes", async () => {
  for (let k = 1; k <= 12; k++) await compare("adamw", {}, [[k, "signal"]]);
});

test("a run killed after any iteration goes on from its newest checkpoint and ends with the same bytes", async () => {
  for (let k = 1; k < 12; k++) await compare("adamw", {}, [[k, "kill"]]);
});

test("a run interrupted several times in a row ends with the same bytes", async () => {
  await compare("adamw", {}, [[2, "signal"], [5, "signal"], [6, "kill"], [11, "signal"]]);
  await compare("adamw", {}, [[5, "kill"], [9, "kill"], [10, "signal"], [12, "signal"]]);
});

const variants: [string, Overrides][] = [
  ["momentum", {
    optimizer: { type: "SGD", params: { lr: 0.02, momentum: 0.9, weight_decay: 0.01 } },
    scheduler: { type: "MultiStepLR", params: { milestones: [4, 9], gamma: 0.3 } },
  }],
  ["batch norm, shards", {
    model: { type: normed },
    data: {
      type: () => ({ train: regression(58), validation: regression(9), test: regression(7) }),
    },
    shards: 2,
  }],
  ["early stopping", { earlyStopping: { patience: 2, min_delta: 10 } }],
];

for (const [title, overrides] of variants) {
  test(`a resumed run ends with the same bytes: ${title}`, async () => {
    const { iterations } = (await whole(title, overrides)).summary;
    assert.equal(iterations, title === "early stopping" ? 9 : 12);
    for (const k of [2, 7]) {
      await compare(title, overrides, [[k, "signal"]]);
      await compare(title, overrides, [[k, "kill"]]);
    }
  });
}

test("a kill between the early stop and its last checkpoint does not train on", async () => {
  const overrides = {
    earlyStopping: { patience: 2, min_delta: 10 },
    callbacks: [],
  };
  await withFolder(async (directory) => {
    const same = config(directory, {
      ...overrides,
      checkpoint: { directory, interval: 3, keep: null },
    });
    let saves = 0;
    const callback: Callback = {
      name: "ProgressBar",
      // At iteration 9 the callback saves first, then the loop.
      save: (run) => {
        if (run.state.iteration === 9 && ++saves === 2) throw new Error("killed");
      },
    };
    const run = await IterationRunner.create({ ...same, callbacks: [callback] }, {
      output: new Lines(),
    });
    await assert.rejects(run.train(), /killed/);
    run.dispose();
    const { summary } = await trainOnce(same);
    assert.equal(summary.iterations, 9);
    assert.equal(summary.finished, "early-stopping");
  });
});

test("a checkpoint holds what a callback knew when it was taken, not when it is written", async () => {
  await withFolder(async (directory) => {
    const live = { iteration: 0, list: [] as number[] };
    let write = (): void => {};
    const written = new Promise<void>((resolve) => write = resolve);
    const counts: Callback = {
      name: "ProgressBar",
      state: () => ({ meta: live }),
      save: () => written,
      iterationEnd: async (run) => {
        live.iteration = run.state.iteration;
        live.list.push(live.iteration);
        if (live.iteration === 4) await run.saveCheckpoint({ wait: false });
        if (live.iteration === 5) write();
      },
    };
    await trainOnce(
      smallConfig({
        name: "run",
        train: { iterations: 6, batchSize: 6 },
        checkpoint: { directory, interval: 100, keep: null },
        callbacks: [counts],
      }),
    );
    const { meta } = await new CheckpointDirectory(new FileStore(join(directory, "run"))).load(4);
    assert.deepEqual((meta.callbacks as Record<string, unknown>).ProgressBar, {
      iteration: 4,
      list: [1, 2, 3, 4],
    });
  });
});

test("lines that a killed run left in metrics.jsonl beyond its checkpoint are cut", async () => {
  const wanted = await whole("adamw", {});
  await withFolder(async (directory) => {
    const same = config(directory);
    await interrupt(same, 7, "kill");
    const path = join(directory, "run", "metrics.jsonl");
    writeFileSync(path, `${readFileSync(path, "utf8")}{"iteration":7,"pha`);
    assert.equal((await outcome(same, directory)).metrics, wanted.metrics);
  });
});

test("a run whose metrics.jsonl has lost records goes on, with a line, from the whole lines that are left", async () => {
  for (const left of [undefined, 0, 150]) {
    await withFolder(async (directory) => {
      const same = config(directory);
      await interrupt(same, 7, "kill");
      const path = join(directory, "run", "metrics.jsonl");
      const lines = readFileSync(path, "utf8");
      assert.ok(lines.length > 150);
      if (left === undefined) rmSync(path);
      else writeFileSync(path, lines.slice(0, left));
      const told = (await trainOnce(same)).lines.filter((line) => line.includes("metrics.jsonl"));
      assert.equal(told.length, 1);
      assert.match(told[0], /has \d+ bytes, the checkpoint counts \d+: records are missing/);
      const records = readFileSync(path, "utf8").trim().split("\n").map((line) => JSON.parse(line));
      assert.equal(records.at(-1).iteration, 12);
      const first = JSON.parse(lines.split("\n")[0]).iteration;
      assert.ok(left === 150 ? records[0].iteration === first : records[0].iteration > first);
    });
  }
});

test("a run that has lost its checkpoints begins anew, and says so", async () => {
  await withFolder(async (directory) => {
    const same = config(directory);
    const first = await trainOnce(same);
    rmSync(join(directory, "run", "checkpoints"), { recursive: true });
    const second = await trainOnce(same);
    const says = (lines: readonly string[]) =>
      lines.filter((line) =>
        /holds a run without a checkpoint: training from the start$/.test(line)
      );
    assert.deepEqual([says(first.lines).length, says(second.lines).length], [0, 1]);
    assert.equal(second.summary.weightsSha256, first.summary.weightsSha256);
  });
});

test('stop("signal") from a program leaves the exit code of the process alone', async () => {
  await withFolder(async (directory) => {
    process.exitCode = 0;
    await interrupt(config(directory), 3, "signal");
    assert.equal(process.exitCode, 0);
  });
});
