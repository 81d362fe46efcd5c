/** `train.nonFinite: { rollback: k }`, and that no state that is not finite replaces a good one. */
import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, NonFiniteError, type RunConfig, tf } from "../../mod.ts";
import { Lines, type Overrides, trainOnce, withFolder } from "../support/runs.ts";
import { linearConfig, observe, records } from "./support.ts";

/** Makes the loss of some batches NaN; batches are known by the sum of their inputs. */
class Poison implements Callback {
  readonly name = "ProgressBar";
  readonly seen: number[] = [];
  #bad = false;

  readonly #sums: readonly number[];

  constructor(sums: readonly number[]) {
    this.#sums = sums;
  }

  batch(batch: Record<string, { data: ArrayLike<number> }>): never {
    const sum = Array.from(batch.inputs.data).reduce((sum, value) => sum + value);
    this.#bad = this.#sums.includes(sum);
    this.seen.push(sum);
    return batch as never;
  }

  loss(value: { sum: tf.Scalar; count: tf.Scalar }): never {
    return (this.#bad ? { ...value, sum: tf.mul(value.sum, NaN) } : value) as never;
  }
}

function config(directory: string, rollback: number, overrides: Overrides = {}): RunConfig {
  return linearConfig({
    name: "run",
    optimizer: { type: "SGD", params: { lr: 0.05, momentum: 0.9 } },
    train: { iterations: 9, batchSize: 4, nonFinite: { rollback } },
    checkpoint: { directory, interval: 3, keep: 1 },
    log: { interval: 1, progress: false, tensorboard: false },
    validation: { interval: 2 },
    ...overrides,
  });
}

/** The sum of every batch of 20 iterations. */
async function order(): Promise<number[]> {
  const poison = new Poison([]);
  await observe(
    linearConfig({ train: { iterations: 20, batchSize: 4 }, callbacks: [poison as never] }),
  );
  return poison.seen;
}

async function train(settings: RunConfig, callbacks: unknown[]) {
  return await trainOnce({ ...settings, callbacks: callbacks as Callback[] });
}

test("rollback goes back to the last checkpoint and on with the batches after the bad one", async () => {
  const batches = await order();
  await withFolder(async (directory) => {
    const poison = new Poison([batches[4]]);
    const { summary, lines } = await train(config(directory, 2), [poison]);
    assert.equal(summary.finished, "iterations");
    assert.equal(summary.iterations, 9);
    assert.equal(summary.skipped, 0);
    // Iteration 5 fails; from 3 on, iteration 4 takes the batch of 6.
    assert.deepEqual(poison.seen, [...batches.slice(0, 5), ...batches.slice(5, 11)]);
    assert.deepEqual(lines.filter((line) => line.includes("going back")), [
      "iteration 5: the loss is not finite (loss NaN, gradient norm NaN): going back to iteration 3 " +
      "and on with other batches (1 of 2)",
    ]);
    // The records of the part that was given up are gone.
    const train_ = records(directory, "run").filter(({ phase }) => phase === "train");
    assert.deepEqual(train_.map(({ iteration }) => iteration), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.ok(train_.every(({ loss }) => Number.isFinite(loss)));
  });
});

test("a run that went back and was stopped ends as one that was not stopped", async () => {
  const batches = await order();
  const outcome = async (stops: readonly number[]) =>
    await withFolder(async (directory) => {
      for (const k of stops) {
        const stop: Callback = {
          name: "TensorBoard",
          iterationEnd: (run) => run.state.iteration === k ? run.stop("signal") : undefined,
        };
        await train(config(directory, 3), [new Poison([batches[4], batches[9]]), stop]);
      }
      const { summary } = await train(config(directory, 3), [
        new Poison([batches[4], batches[9]]),
        { name: "TensorBoard", setup() {} },
      ]);
      return {
        hash: summary.weightsSha256,
        best: summary.best,
        metrics: readFileSync(join(directory, "run", "metrics.jsonl"), "utf8"),
      };
    });
  const whole = await outcome([]);
  for (const stops of [[2], [4], [5], [6], [4, 7], [8]]) {
    assert.deepEqual(await outcome(stops), whole, JSON.stringify(stops));
  }
});

test("rollback is done so many times, then the run ends; before the first checkpoint too", async () => {
  const batches = await order();
  await withFolder(async (directory) => {
    const poison = new Poison([batches[1], batches[2], batches[3]]);
    const run = await IterationRunner.create(
      { ...config(directory, 2), callbacks: [poison as never] },
      { output: new Lines() },
    );
    await assert.rejects(run.train(), NonFiniteError);
    assert.equal(run.state.rollbacks, 2);
    assert.equal(run.state.iteration, 0);
    run.dispose();
    assert.deepEqual(poison.seen.slice(0, 2), batches.slice(0, 2));
  });
});

test("rollback needs checkpoints", async () => {
  await assert.rejects(
    IterationRunner.create(config("", 1, { checkpoint: false }), { output: new Lines() }),
    /^ConfigError: train\.nonFinite: must not be a rollback without checkpoints/,
  );
});

/** Puts NaN into a parameter after the first update of an iteration. */
const breakAt = (k: number, times = Infinity): Callback => ({
  name: "ProgressBar",
  updateEnd: (run) => {
    if (run.state.iteration !== k || times-- <= 0) return;
    const [weight] = Object.values(run.model.parameters);
    const bad = tf.mul(weight, NaN);
    weight.assign(bad);
    bad.dispose();
  },
});

test("a checkpoint that is not finite replaces no good one: the run ends, or goes back", async () => {
  await withFolder(async (directory) => {
    const files = () => readdirSync(join(directory, "run", "checkpoints")).sort();
    const settings = config(directory, 1, {
      train: { iterations: 9, batchSize: 4, nonFinite: "stop" },
      validation: false,
    });
    await assert.rejects(
      train(settings, [breakAt(6)]),
      /^NonFiniteError: iteration 6: the parameter weight is not finite$/,
    );
    assert.deepEqual(files(), [
      "exception.safetensors",
      "latest",
      "step-00000003.safetensors",
    ]);
    const whole = await observe(
      linearConfig({
        ...settings,
        checkpoint: false,
        callbacks: [{ name: "ProgressBar", setup() {} }],
      }),
    );
    const { summary, lines } = await train(settings, [{ name: "ProgressBar", setup() {} }]);
    assert.ok(lines.some((line) => /resuming .* after iteration 3$/.test(line)));
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
  });
});

test("rollback goes back too when a checkpoint turns out not to be finite", async () => {
  await withFolder(async (directory) => {
    const settings = config(directory, 1, { validation: false });
    const { summary, lines } = await train(settings, [breakAt(6, 1)]);
    assert.equal(summary.iterations, 9);
    assert.match(
      lines.find((line) => line.includes("going back")) ?? "",
      /^iteration 6: the parameter weight is not finite: going back to iteration 3 /,
    );
    assert.ok(
      !readdirSync(join(directory, "run", "checkpoints")).includes("exception.safetensors"),
    );
  });
});
