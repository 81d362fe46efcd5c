/** A loss or gradient that is not finite: `stop` leaves everything as it was, `skip` goes on without the iteration. */
import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, NonFiniteError, type RunConfig, tf } from "../../mod.ts";
import { Lines, type Overrides, trainOnce, withFolder } from "../support/runs.ts";
import { linearConfig, normed, observe, records, weightsOf } from "./support.ts";

/** Spoils the iterations listed: the loss, or only its gradient, in one leaf of several. */
class Spoil implements Callback {
  readonly name = "Spoil";
  #leaf = 0;
  constructor(
    readonly iterations: number[],
    readonly what: "loss" | "gradient",
    readonly leaf = 0,
  ) {}
  iterationStart(): void {
    this.#leaf = 0;
  }
  loss(value: { sum: tf.Scalar; count: number | tf.Scalar }, { iteration }: { iteration: number }) {
    if (!this.iterations.includes(iteration) || this.#leaf++ !== this.leaf) return value;
    // sqrt has an infinite slope at 0.
    const add = this.what === "loss" ? tf.scalar(NaN) : tf.sqrt(tf.mul(value.sum, 0));
    return { sum: tf.add(value.sum, add) as tf.Scalar, count: value.count };
  }
}

function config(overrides: Overrides = {}): RunConfig {
  return linearConfig({
    model: { type: normed },
    train: { iterations: 8, batchSize: 4 },
    optimizer: { type: "SGD", params: { lr: 0.1, momentum: 0.9 } },
    scheduler: { type: "StepLR", params: { step_size: 1, gamma: 0.9 } },
    validation: { interval: 100, sanity: 0 },
    ...overrides,
  });
}

for (const what of ["loss", "gradient"] as const) {
  for (const [accumulate, leaf] of [[1, 0], [3, 1]]) {
    test(`nonFinite stop: ${what}, ${accumulate} leaves: throws, and nothing has changed since the iteration before`, async () => {
      await withFolder(async (directory) => {
        const part = { train: { iterations: 8, batchSize: 4, accumulate } };
        const good = await observe(config({ train: { ...part.train, iterations: 4 } }));
        const run = await IterationRunner.create(
          config({
            ...part,
            name: "run",
            checkpoint: { directory, interval: 2 },
            log: { interval: 1, progress: false, tensorboard: false },
            callbacks: [new Spoil([5], what, leaf)],
          }),
          { output: new Lines() },
        );
        const tensors = () => tf.memory().numTensors;
        let before = 0;
        await assert.rejects(run.train(), (error) => {
          assert.ok(error instanceof NonFiniteError);
          assert.match(error.message, /^(?!.*\n).*iteration 5.*not finite/);
          assert.match(error.message, new RegExp(`the ${what} is not finite`));
          before = tensors();
          return true;
        });
        assert.deepEqual(weightsOf(run), good.weights);
        assert.equal(run.state.iteration, 4);
        assert.equal(run.state.skipped, 0);
        assert.ok(Math.abs(run.optimizer.paramGroups[0].lr - 0.1 * 0.9 ** 4) < 1e-12);
        const files = readdirSync(join(directory, "run", "checkpoints")).sort();
        assert.deepEqual(files.slice(-2), [
          "step-00000002.safetensors",
          "step-00000004.safetensors",
        ]);
        const latest = readFileSync(join(directory, "run", "checkpoints", "latest"), "utf8");
        assert.equal(latest.trim(), "step-00000004.safetensors");
        assert.equal(records(directory, "run").length, 4);
        // The same run may be asked again, and fails again without holding on to more.
        await assert.rejects(run.train(), NonFiniteError);
        assert.equal(tensors(), before);
        assert.deepEqual(weightsOf(run), good.weights);
        run.dispose();
        // Without the fault it goes on and ends as a run that never had it.
        const { summary } = await trainOnce(
          config({
            ...part,
            name: "run",
            checkpoint: { directory, interval: 2 },
            callbacks: [{ name: "Spoil", setup() {} }],
          }),
        );
        const clean = await observe(config(part));
        assert.equal(summary.weightsSha256, clean.summary.weightsSha256);
      });
    });

    test(`nonFinite skip: ${what}, ${accumulate} leaves: no update, no scheduler step, buffers stay, training goes on`, async () => {
      const states: Record<string, number[]> = {};
      const follow: Callback = {
        name: "Follow",
        iterationEnd: (run) => void (states[run.state.iteration] = weightsOf(run)),
      };
      const { summary, watch, lines } = await observe(config({
        train: { iterations: 8, batchSize: 4, accumulate, nonFinite: "skip" },
        log: { interval: 1, progress: false },
        callbacks: [new Spoil([1, 4, 5], what, leaf), follow],
      }));
      assert.equal(summary.iterations, 8);
      assert.equal(summary.skipped, 3);
      assert.equal(summary.finished, "iterations");
      // Five updates with the rates of five scheduler steps; the batches of 1, 4 and 5 are gone.
      assert.deepEqual(watch.iterations, [2, 3, 6, 7, 8]);
      const rates = [1, 2, 3, 4, 5].map((n) => 0.1 * 0.9 ** n);
      watch.rates.forEach((rate, i) => assert.ok(Math.abs(rate - rates[i]) < 1e-12));
      assert.equal(watch.rows.length, 8);
      assert.deepEqual(states[4], states[3]);
      assert.deepEqual(states[5], states[3]);
      assert.notDeepEqual(states[6], states[5]);
      assert.deepEqual(Object.keys(watch.logged.train[4]), ["lr"]);
      assert.ok(watch.losses.every(Number.isFinite));
      assert.deepEqual(
        lines.filter((line) => line.includes("skipped")),
        [1, 4, 5].map((i) => `iteration ${i}: skipped, the ${what} is not finite`),
      );
    });
  }
}

test("nonFinite skip: the batch of a skipped iteration is not used again, and a resume counts on", async () => {
  await withFolder(async (directory) => {
    const settings = (callbacks: Callback[], checkpoint: unknown): RunConfig =>
      config({
        name: "run",
        train: { iterations: 8, batchSize: 4, nonFinite: "skip" },
        checkpoint,
        callbacks: [new Spoil([2, 6], "loss"), ...callbacks],
      } as Overrides);
    const whole = await observe(settings([], false));
    assert.equal(whole.summary.skipped, 2);
    const stop: Callback = {
      name: "ProgressBar",
      iterationEnd: (run) => run.state.iteration === 3 ? run.stop("signal") : undefined,
    };
    await trainOnce(settings([stop], { directory }));
    const { summary } = await trainOnce(settings([], { directory }));
    assert.equal(summary.skipped, 2);
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
  });
});

test("an error of the model's own in a pass leaves the buffers as they were", async () => {
  const run = await IterationRunner.create(
    config({
      train: { iterations: 4, batchSize: 4, accumulate: 3 },
      callbacks: [{
        name: "Fail",
        loss: (() => {
          let calls = 0;
          return (value: unknown) => {
            if (++calls % 2 === 0) throw new Error("broken");
            return value;
          };
        })(),
      }],
    }),
    { output: new Lines() },
  );
  const weights = weightsOf(run);
  for (let i = 0; i < 3; i++) {
    await assert.rejects(run.train(), /broken/);
    assert.deepEqual(weightsOf(run), weights);
  }
  run.dispose();
});
