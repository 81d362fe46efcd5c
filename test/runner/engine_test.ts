/** A run is the same wherever its engine computes. */
import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import {
  type BaseIterationRunner,
  type Callback,
  IterationRunner,
  registerCallback,
  type RunView,
  type Summary,
  tf,
  WorkerError,
} from "../../mod.ts";
import { main } from "../../src/config/command_line.ts";
import { useBackend } from "../support/backend.ts";
import { Lines, type Overrides, withFolder } from "../support/runs.ts";
import { writeFiles } from "../command_line/files.ts";
import { elsewhere, type Loss } from "./elsewhere.ts";
import { linearConfig, normed, regression, weightsOf } from "./support.ts";

before(() => useBackend("cpu"));

function config(directory: string, overrides: Overrides = {}) {
  return linearConfig({
    name: "run",
    model: { type: normed },
    optimizer: { type: "AdamW", params: { lr: 0.05 } },
    scheduler: { type: "StepLR", params: { step_size: 3 } },
    shards: 2,
    train: {
      iterations: 9,
      batchSize: 6,
      accumulate: 2,
      metrics: true,
      clipGrad: { maxNorm: 0.3 },
    },
    validation: { interval: 2, batchSize: 2 },
    test: { interval: 4, batchSize: 3 },
    checkpoint: { directory, interval: 3 },
    log: { interval: 2, progress: false, tensorboard: false },
    callbacks: [{ type: "EMA", params: { decay: 0.9, use_buffers: true } }],
    ...overrides,
  }, { train: regression(40, { missing: 4 }), validation: regression(9, { from: 100 }) });
}

/** What does not tell how long a run took and on how many workers. */
function results({ seconds: _, samplesPerSecond: __, workers: ___, ...rest }: Summary) {
  return rest;
}

const metrics = (directory: string): string =>
  readFileSync(join(directory, "run", "metrics.jsonl"), "utf8");

function predictions(directory: string): Uint8Array | undefined {
  const file = join(directory, "run", "predictions.safetensors");
  return existsSync(file) ? readFileSync(file) : undefined;
}

const step = (directory: string, k: number) =>
  readFileSync(join(directory, "run", "checkpoints", `step-0000000${k}.safetensors`));

const cases: { title: string; overrides?: Overrides; looks: boolean; saves: boolean }[] = [
  { title: "AdamW, clipped by norm, with averages", looks: false, saves: false },
  {
    title: "Schedule-Free, clipped by value",
    overrides: {
      optimizer: { type: "ScheduleFreeAdamW", params: { lr: 0.05 } },
      scheduler: undefined,
      train: { iterations: 9, batchSize: 6, clipGrad: { clipValue: 0.01 } },
      callbacks: [],
    },
    looks: true,
    saves: false,
  },
  {
    title: "predictions saved, a scheduler that follows validations",
    overrides: {
      scheduler: { type: "ReduceLROnPlateau", params: { patience: 0 }, monitor: "val/loss" },
      test: { savePredictions: true, batchSize: 3 },
    },
    looks: false,
    saves: true,
  },
];

for (const { title, overrides, looks, saves } of cases) {
  test(`a run computed elsewhere ends with the same bits: ${title}`, async () => {
    await withFolder(async (directory) => {
      const tensors = tf.memory().numTensors;
      const [here, there] = ["here", "there"].map((name) => join(directory, name));
      const local = await IterationRunner.create(config(here, overrides), { output: new Lines() });
      const expected = await local.train();
      const { run, engine } = await elsewhere(config(there, overrides), new Lines());
      const summary = await run.train();
      assert.deepEqual(results(summary), results(expected));
      assert.deepEqual([expected.workers, summary.workers], [1, 2]);
      assert.equal(metrics(there), metrics(here));
      for (const k of [3, 6, 9]) {
        assert.ok(step(there, k).equals(step(here, k)), `checkpoint ${k}`);
      }
      assert.equal(engine.looked > 0, looks, "gradients that nobody changes are not looked at");
      assert.deepEqual(await run.validate(), await local.validate());
      assert.deepEqual(weightsOf(run), weightsOf(local));
      assert.deepEqual(predictions(there), predictions(here));
      assert.equal(predictions(there) !== undefined, saves);
      local.dispose();
      run.dispose();
      assert.equal(engine.disposed, 1);
      assert.equal(tf.memory().numTensors, tensors);
    });
  });
}

test("what is set in run.model, in trainStart or between calls, is trained on elsewhere too", async () => {
  const set: Callback = {
    name: "Set",
    trainStart({ model }: RunView) {
      const [gain] = Object.values(model.parameters);
      tf.tidy(() => gain.assign(tf.add(gain, 0.5)));
    },
    updateEnd(run: RunView) {
      if (run.state.iteration === 2) run.stop("max-time");
    },
  };
  const settings = linearConfig({ model: { type: normed }, callbacks: [set] });
  const trainTwice = async (run: BaseIterationRunner) => {
    await run.train();
    const first = weightsOf(run);
    const [, bias] = Object.values(run.model.parameters);
    tf.tidy(() => bias.assign(tf.add(bias, 1)));
    await run.train();
    const second = weightsOf(run);
    run.dispose();
    return { first, second };
  };
  const expected = await trainTwice(
    await IterationRunner.create(settings, { output: new Lines() }),
  );
  const { run } = await elsewhere(settings, new Lines());
  assert.deepEqual(await trainTwice(run), expected);
});

test("a run that was broken off, called again, goes on elsewhere from where it is", async () => {
  const settings = () => {
    let failed = false;
    return linearConfig({
      optimizer: { type: "Adam", params: { lr: 0.05 } },
      callbacks: [{
        name: "Fail",
        updateEnd({ state }: RunView) {
          if (state.iteration !== 4 || failed) return;
          failed = true;
          throw new Error("broken");
        },
      }],
    });
  };
  const trainTwice = async (run: BaseIterationRunner) => {
    await assert.rejects(run.train(), /broken/);
    const summary = await run.train();
    run.dispose();
    return results(summary);
  };
  const local = await IterationRunner.create(settings(), { output: new Lines() });
  const expected = await trainTwice(local);
  const { run } = await elsewhere(settings(), new Lines());
  assert.deepEqual(await trainTwice(run), expected);
});

test("run.model is brought up to date once after an update, and at the end", async () => {
  const seen: number[] = [];
  const looking = (pulls: () => number | undefined) =>
    linearConfig({
      validation: undefined,
      callbacks: [{
        name: "Look",
        updateEnd(run: RunView) {
          const { iteration } = run.state;
          if (iteration % 3 > 0) return;
          for (let k = 0; k < 2; k++) seen.push(run.model.parameters.bias.dataSync()[0]);
          assert.equal(pulls() ?? iteration / 3, iteration / 3);
        },
      }],
    }, { train: regression(20), validation: undefined, test: undefined });
  const local = await IterationRunner.create(looking(() => undefined), { output: new Lines() });
  const { weightsSha256 } = await local.train();
  local.dispose();
  const expected = seen.splice(0);
  assert.equal(new Set(expected).size, 3);
  const { run, engine } = await elsewhere(looking(() => engine.pulls), new Lines());
  assert.equal((await run.train()).weightsSha256, weightsSha256);
  assert.deepEqual(seen, expected);
  assert.equal(engine.pulls, 4);
  run.dispose();
});

test("a rollback takes what computes elsewhere back too", async () => {
  await withFolder(async (directory) => {
    const train = { iterations: 9, batchSize: 4, nonFinite: { rollback: 1 } };
    const bad = (): Callback => ({
      name: "Bad",
      // Looked at before the training goes on, and changed.
      trainStart({ model }) {
        const [gain] = Object.values(model.parameters);
        tf.tidy(() => gain.assign(tf.mul(gain, 0.9)));
      },
      loss: (value, { iteration }) => {
        const sum = iteration === 6 && ++calls === 1
          ? tf.mul<tf.Scalar>(value.sum, NaN)
          : value.sum;
        return { ...value, sum };
      },
    });
    let calls = 0;
    const settings = (at: string) =>
      config(join(directory, at), { shards: 1, train, callbacks: [bad()] });
    const local = await IterationRunner.create(settings("here"), { output: new Lines() });
    const expected = await local.train();
    local.dispose();
    assert.equal(calls, 2);
    calls = 0;
    const { run } = await elsewhere(settings("there"), new Lines());
    assert.deepEqual(results(await run.train()), results(expected));
    run.dispose();
    assert.equal(calls, 2);
  });
});

const losses: (Loss & { left: number })[] = [
  { at: "gradient", iteration: 6, left: 5 },
  { at: "read", iteration: 6, left: 5 },
  { at: "apply", iteration: 6, left: 5 },
  { at: "evaluation", iteration: 6, left: 6 },
];

for (const { at, iteration, left } of losses) {
  test(`a WorkerError in ${at} of iteration ${iteration} leaves a checkpoint of ${left}; the run goes on from it`, async () => {
    await withFolder(async (directory) => {
      const [whole, broken] = ["whole", "broken"].map((name) => join(directory, name));
      const interval = { checkpoint: { directory: broken, interval: 4 } };
      const local = await IterationRunner.create(config(whole), { output: new Lines() });
      const expected = await local.train();
      local.dispose();
      const { run, engine } = await elsewhere(config(broken, interval), new Lines());
      engine.loss = { at, iteration };
      await assert.rejects(run.train(), (error) => error instanceof WorkerError);
      run.dispose();
      assert.ok(!existsSync(join(broken, "run", "checkpoints", "exception.safetensors")));
      const latest = readFileSync(join(broken, "run", "checkpoints", "latest"), "utf8");
      assert.equal(latest, `step-0000000${left}.safetensors`);

      const lines = new Lines();
      const again = await elsewhere(config(broken, interval), lines);
      assert.deepEqual(results(await again.run.train()), results(expected));
      again.run.dispose();
      assert.ok(
        lines.lines.some((line) =>
          line.endsWith(`after iteration ${left}, where it ended with: 2 are gone`)
        ),
      );
      assert.equal(metrics(broken), metrics(whole));
    });
  });
}

test("the command line answers a WorkerError with one line and exit code 75", async () => {
  registerCallback("Lost", () => ({
    name: "Lost",
    batch() {
      throw new WorkerError("2 workers are gone");
    },
  }));
  await withFolder(async (folder) => {
    const file = writeFiles(folder, { callbacks: [{ type: "Lost" }], checkpoint: false });
    const lines: string[] = [], errors: string[] = [];
    const output = {
      line: (text: string) => void lines.push(text),
      error: (text: string) => void errors.push(text),
    };
    assert.equal(await main(["train", file], output), 75);
    assert.deepEqual(errors, ["2 workers are gone"]);
  });
});
