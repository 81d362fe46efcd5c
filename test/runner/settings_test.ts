/** Settings for trying things out, and the time limit. */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig } from "../../mod.ts";
import { Lines, type Overrides, trainOnce, withFolder } from "../support/runs.ts";
import { linear, linearConfig, observe, plain } from "./support.ts";

/** A config that notes the rows of every forward pass of its run, training and evaluation apart. */
function noted(overrides: Overrides = {}, splits = {}) {
  const rows = { train: [] as number[], evaluation: [] as number[] };
  const model = linear((y, _, { training }) => {
    rows[training ? "train" : "evaluation"].push(y.shape[0]);
    return y;
  });
  const begin: Callback = {
    name: "Begin",
    setup: () => void (rows.train.length = rows.evaluation.length = 0),
  };
  const callbacks = [begin, ...overrides.callbacks as Callback[] ?? []];
  return {
    config: linearConfig({ model: { type: model }, ...overrides, callbacks }, splits),
    rows,
  };
}

test("fastDevRun: n iterations, n batches of validation and test, nothing written", async () => {
  await withFolder(async (directory) => {
    for (const [fastDevRun, n] of [[true, 1], [2, 2]] as const) {
      const { config, rows } = noted({
        name: "run",
        checkpoint: { directory, interval: 1 },
        train: { iterations: 1000, batchSize: 4, fastDevRun },
        validation: { interval: 100, batchSize: 3, sanity: 0 },
        test: { batchSize: 2 },
        log: { interval: 100, progress: false },
      });
      const { summary } = await observe(config);
      assert.equal(summary.iterations, n);
      assert.equal(summary.finished, "iterations");
      assert.deepEqual(rows.train, new Array(n).fill(4));
      assert.deepEqual(rows.evaluation, [...new Array(n).fill(3), ...new Array(n).fill(2)]);
      assert.ok(!existsSync(join(directory, "run")));
    }
  });
});

test("limitBatches: only the first batches of validation and test, of every epoch of training", async () => {
  const { config, rows } = noted({
    train: { iterations: 5, batchSize: 4, limitBatches: 2, shuffle: false },
    validation: { interval: 5, batchSize: 4, limitBatches: 2, sanity: 0 },
    test: { batchSize: 5, limitBatches: 1 },
  }, { train: plain(20, (row) => row) });
  const seen: number[] = [];
  config.callbacks!.push({
    name: "Seen",
    batch: (batch: { inputs: { data: Float32Array } }) => {
      seen.push(batch.inputs.data[0]);
      return batch;
    },
  });
  const { watch } = await observe(config);
  assert.deepEqual(rows.evaluation, [4, 4, 5]);
  assert.deepEqual(seen, [0, 4, 0, 4, 0]);
  assert.equal(watch.rows.length, 5);
});

test("overfitBatches: trains and validates on the same first batches, in order", async () => {
  const seen: number[] = [];
  const { config, rows } = noted({
    train: { iterations: 4, batchSize: 2, accumulate: 2, overfitBatches: 2 },
    validation: { interval: 4, sanity: 0, batchSize: 3 },
    test: false,
    callbacks: [{
      name: "Seen",
      batch: (batch: { inputs: { data: Float32Array } }) => {
        seen.push(...batch.inputs.data.filter((_, i) => i % 3 === 0));
        return batch;
      },
    }],
  }, { train: plain(20, (row) => row) });
  await observe(config);
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
  // The same eight samples, in batches of its own size.
  assert.deepEqual(rows.evaluation, [3, 3, 2]);
});

test("overfitBatches drives the loss on them towards 0", async () => {
  const { watch } = await observe(linearConfig({
    train: { iterations: 150, batchSize: 2, overfitBatches: 1 },
    optimizer: { type: "SGD", params: { lr: 0.3 } },
    validation: { interval: 50 },
  }));
  assert.ok(watch.logged.val[150].loss < 1e-4 * watch.losses[0]);
});

test("sanity: a few validation batches before the first iteration, none in a resumed run", async () => {
  await withFolder(async (directory) => {
    for (const [sanity, before] of [[0, []], [1, [3]], [2, [3, 3]], [9, [3, 3, 3]]] as const) {
      const at: number[] = [];
      const { config, rows } = noted({
        name: `run-${sanity}`,
        checkpoint: { directory },
        train: { iterations: 2, batchSize: 4 },
        validation: { interval: 10, batchSize: 3, sanity },
        test: false,
        callbacks: [{
          name: "ProgressBar",
          iterationStart: () => void at.push(rows.evaluation.length),
          iterationEnd: (run: { stop(reason: string): void }) => run.stop("signal"),
        }],
      });
      await trainOnce(config);
      assert.deepEqual(at, [before.length]);
      assert.deepEqual(rows.evaluation, before);
      await trainOnce(config);
      assert.equal(at[1], 0);
    }
  });
});

test("sanity: a fault of validation shows before anything is trained", async () => {
  const model = linear((y, _, { training }) => {
    if (!training && y.shape[0] > 2) throw new Error("cannot validate");
    return y;
  });
  const run = await IterationRunner.create(linearConfig({ model: { type: model } }), {
    output: new Lines(),
  });
  await assert.rejects(run.train(), /cannot validate/);
  assert.equal(run.state.iteration, 0);
  run.dispose();
});

test("maxTime: stops after the iteration that passes it, resumable, and tests; the clock starts anew", async () => {
  await withFolder(async (directory) => {
    const whole = await observe(linearConfig());
    let now = 0;
    const clock = { now: () => now, wall: () => now };
    const config = (): RunConfig =>
      linearConfig({
        name: "run",
        train: { iterations: 10, batchSize: 4, maxTime: 3.5 },
        checkpoint: { directory },
        callbacks: [{ name: "ProgressBar", iterationStart: () => void (now += 1000) }],
      });
    const reached: [string, number][] = [];
    for (let i = 0; i < 3; i++) {
      const run = await IterationRunner.create(config(), { output: new Lines(), clock });
      const summary = await run.train();
      run.dispose();
      reached.push([summary.finished, summary.iterations]);
      assert.ok(Number.isFinite(summary.test!.loss));
      if (i === 2) assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
    }
    assert.deepEqual(reached, [["max-time", 4], ["max-time", 8], ["iterations", 10]]);
  });
});

test("maxTime: passed by the last iteration it is no reason to stop", async () => {
  let now = 0;
  const clock = { now: () => now, wall: () => now };
  const reasons: string[] = [];
  const config = linearConfig({
    train: { iterations: 3, batchSize: 4, maxTime: 2.5 },
    callbacks: [{
      name: "Time",
      iterationStart: () => void (now += 1000),
      trainEnd: (reason: string) => void reasons.push(reason),
    }],
  });
  const run = await IterationRunner.create(config, { output: new Lines(), clock });
  const { finished, iterations } = await run.train();
  assert.deepEqual([finished, iterations, ...reasons], ["iterations", 3, "iterations"]);
  run.dispose();
});

test("seconds and samplesPerSecond: time inside iterations without the first five", async () => {
  let now = 0;
  const clock = { now: () => now, wall: () => now };
  const run = await IterationRunner.create(
    linearConfig({
      train: { iterations: 10, batchSize: 8 },
      validation: { interval: 2 },
      callbacks: [{
        name: "Time",
        // 100 ms for each of the first five iterations, 50 after; evaluation takes a second.
        batch: (batch: unknown, run: { state: { iteration: number } }) => {
          now += run.state.iteration < 5 ? 100 : 50;
          return batch;
        },
        evaluationStart: () => void (now += 1000),
      }],
    }),
    { output: new Lines(), clock },
  );
  const summary = await run.train();
  run.dispose();
  // Iterations 6 to 10 of 20 samples in batches of 8: 4, 8, 8, 4, 8 samples in 250 ms.
  assert.equal(summary.samplesPerSecond, 32 / 0.25);
  assert.ok(Math.abs(summary.seconds - (0.75 + 6)) < 1e-9);
});

test("stop before the first iteration: nothing is trained", async () => {
  const { summary } = await observe(linearConfig({
    callbacks: [{
      name: "Stop",
      trainStart: (run: { stop(r: string): void }) => run.stop("signal"),
    }],
  }));
  assert.deepEqual([summary.finished, summary.iterations], ["signal", 0]);
});

test("one seed, one run: equal seeds give equal bits, others other ones", async () => {
  const model = { type: "Mlp", params: { inputSize: 3, outputSize: 2, hidden: [4], dropout: 0.5 } };
  const hash = async (seed: number) =>
    (await observe(linearConfig({ seed, model }))).summary.weightsSha256;
  const hashes = [await hash(1), await hash(1), await hash(2), await hash(2 ** 32 + 1)];
  assert.equal(hashes[0], hashes[1]);
  assert.equal(new Set(hashes).size, 3);
});

test("every iteration and leaf draws its own random numbers, the same in every run", async () => {
  const draws = async (seed: number, iterations: number): Promise<number[]> => {
    const seen: number[] = [];
    const model = linear((y, _, { training, random }) => {
      if (training) seen.push(random.uniform(new Float64Array(1))[0]);
      return y;
    });
    await observe(linearConfig({
      seed,
      model: { type: model },
      train: { iterations, batchSize: 2, accumulate: 2 },
    }));
    // The first is the trial of create.
    return seen.slice(1);
  };
  const first = await draws(1, 8);
  assert.equal(new Set(first).size, 16);
  assert.deepEqual(await draws(1, 8), first);
  assert.deepEqual(await draws(1, 3), first.slice(0, 6));
  assert.equal(new Set([...first, ...await draws(2, 8)]).size, 32);
});
