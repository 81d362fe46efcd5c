/** Workers begin with the next iteration before they are asked for it: what that may not change. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { ArrayDataset, Callback, RunConfig, RunView } from "../../mod.ts";
import { Arena } from "../../src/parallel/arena.ts";
import { GRADIENT } from "../../src/parallel/protocol.ts";
import { TrainingBatches } from "../../src/runner/training_batches.ts";
import * as tf from "../../src/tensor/tf.ts";
import type { Overrides } from "../support/runs.ts";
import { regression } from "../runner/support.ts";
import { assertSame, type Left, once, partsConfig, runOf, trained } from "./support.ts";

/** Counts at the start of every iteration the gradients that were asked for before. */
class Ahead implements Callback {
  readonly name = "Ahead";
  begun = 0;
  readonly early: boolean[] = [];

  iterationStart(run: RunView): void {
    this.early.push(this.begun > run.state.iteration);
  }
}

/** Trains with one worker and with two; answers what both left, and what was begun early. */
async function both(
  config: () => Overrides,
): Promise<{ one: Left; two: Left; early: boolean[] }> {
  const ahead = new Ahead();
  const of = (workers: number, watch: Callback): RunConfig => {
    const { callbacks = [], ...others } = config() as Overrides & { callbacks?: Callback[] };
    const optimizer = { type: "AdamW", params: { lr: 0.05 } };
    const watched = [...callbacks, watch] as never;
    return partsConfig({ optimizer, ...others, workers, callbacks: watched });
  };
  const one = await runOf(of(1, new Ahead()));
  const { command, isFinished } = Arena.prototype;
  const { loadAhead } = TrainingBatches.prototype;
  let loading = false;
  TrainingBatches.prototype.loadAhead = function (k, loaded, allocator): void {
    loading = true;
    loadAhead.call(this, k, (batch) => {
      loading = false;
      loaded(batch);
    }, allocator);
  };
  // However slow this thread is, no iteration ends before the batch of the next is there.
  Arena.prototype.isFinished = function (number: number): boolean {
    return !loading && isFinished.call(this, number);
  };
  Arena.prototype.command = function (kind: number): number {
    if (kind === GRADIENT) ahead.begun++;
    return command.call(this, kind);
  };
  try {
    return { one, two: await runOf(of(2, ahead)), early: ahead.early };
  } finally {
    Object.assign(Arena.prototype, { command, isFinished });
    TrainingBatches.prototype.loadAhead = loadAhead;
  }
}

test("the next iteration is begun before it is asked for, unless an evaluation comes between", async () => {
  const { one, two, early } = await both(() => ({
    train: { iterations: 24, batchSize: 5 },
    validation: { interval: 8 },
  }));
  assertSame(one, two, "2 workers");
  assert.deepEqual(early, Array.from({ length: 24 }, (_, i) => i % 8 !== 0));
});

test(
  "what was begun too early is given up: weights, rates and frozen parameters changed by callbacks",
  once,
  async () => {
    const changes: Callback = {
      name: "Changes",
      iterationEnd(run) {
        const { parameters } = run.model;
        const [name, other] = Object.keys(parameters);
        const { iteration } = run.state;
        if (iteration % 5 === 1) {
          tf.tidy(() => parameters[name].assign(tf.mul(parameters[name], 0.9)));
        }
        if (iteration % 5 === 2) run.optimizer.paramGroups[0].lr *= 0.8;
        (parameters[other] as { trainable: boolean }).trainable = iteration % 5 !== 3;
        if (iteration % 5 === 4) run.optimizer.loadStateDict(run.optimizer.stateDict());
      },
    };
    const { one, two, early } = await both(() => ({
      train: { iterations: 15, batchSize: 5 },
      validation: { interval: 15 },
      callbacks: [changes] as never,
    }));
    assertSame(one, two, "2 workers");
    assert.ok(early.includes(true));
  },
);

/** 60 rows of which one makes the loss not finite. */
function spoilt(row: number): ArrayDataset {
  const rows = regression(60);
  rows.fields.inputs.data[3 * row] = NaN;
  return rows;
}

for (const nonFinite of ["skip", { rollback: 1 }] as const) {
  test(
    `an update that was asked for ahead is none where the loss is not finite: ${
      JSON.stringify(nonFinite)
    }`,
    async () => {
      const { one, two } = await both(() => ({
        data: { type: () => ({ train: spoilt(31), validation: regression(9, { from: 100 }) }) },
        train: { iterations: 14, batchSize: 5, shuffle: false, nonFinite },
        validation: { interval: 14 },
      }));
      const isSkip = nonFinite === "skip";
      const told = isSkip ? /^iteration 7: skipped/ : /going back to iteration/;
      assert.equal(one.lines.filter((line) => told.test(line)).length, 1, one.lines.join("\n"));
      assert.deepEqual(two.lines, one.lines);
      assertSame(one, two, "2 workers");
    },
  );
}

test(
  "a checkpoint that is asked for in the middle of an iteration is that of the one before",
  once,
  async () => {
    const config = () =>
      partsConfig({
        workers: 2,
        shards: 2,
        optimizer: { type: "AdamW", params: { lr: 0.05 } },
        train: { iterations: 12, batchSize: 5 },
        validation: { interval: 12 },
        checkpoint: { interval: 1, keep: 100 },
        // What follows is not told by it.
        log: { interval: 12, progress: false, tensorboard: false },
      });
    const plain = await runOf({
      ...config(),
      callbacks: [{ name: "Asking", iterationStart() {} }] as never,
    });
    let asks = 0;
    const asking: Callback = {
      name: "Asking",
      iterationStart(run) {
        const { iteration } = run.state;
        if (iteration === 0) return;
        setTimeout(() => run.saveCheckpoint({ wait: false }).then(() => asks++), iteration % 4);
      },
    };
    const asked = await runOf({ ...config(), callbacks: [asking] as never });
    assert.ok(asks > 0);
    assertSame(plain, asked, "asked at odd times");
  },
);

test(
  "a fault in what was begun too early is nobody's: the run had stopped before",
  once,
  async () => {
    const { one, two, early } = await both(() => {
      let begun = 0;
      const stopping: Callback = {
        name: "Stopping",
        iterationEnd(run) {
          const { iteration } = run.state;
          // Time for the workers to fail.
          if (iteration >= 4) { for (begun = performance.now(); performance.now() < begun + 100;); }
          if (iteration === 6) run.stop("max-time");
        },
      };
      return {
        train: { iterations: 12, batchSize: 5 },
        validation: { interval: 12 },
        callbacks: [{ type: "FailsAt", params: { iteration: 7 } }, stopping] as never,
        maxWorkerRestarts: 0,
      };
    });
    assertSame(one, two, "2 workers");
    assert.equal(one.summary.iterations, 6);
    assert.ok(early.includes(true));
  },
);

test("a checkpoint that is asked for during an update is that of after it", once, async () => {
  const clipped = (ask: (run: RunView) => void): RunConfig =>
    partsConfig({
      workers: 2,
      shards: 2,
      model: { type: "TestParts", params: { towers: 8 } },
      optimizer: { type: "AdamW", params: { lr: 0.05 } },
      train: { iterations: 4, batchSize: 5 },
      validation: { interval: 4 },
      checkpoint: { interval: 4, keep: 100 },
      callbacks: [{
        name: "Asking",
        gradients<T>(value: T, run: RunView): T {
          if (run.state.iteration === 2) ask(run);
          return value;
        },
      }] as never,
    });
  const plain = await runOf({ ...clipped(() => {}), checkpoint: { interval: 1, keep: 100 } });
  // A moment later the workers are told to update, and this thread waits for them.
  const asked = await runOf(clipped((run) => void run.saveCheckpoint({ wait: false })));
  assert.deepEqual(await trained(asked.store, 2), await trained(plain.store, 2));
});

test(
  "weights and state set between a gradient and its update are what is updated",
  once,
  async () => {
    const setting: Callback = {
      name: "Setting",
      gradients<T>(value: T, run: RunView): T {
        const { model: { parameters }, optimizer, state: { iteration } } = run;
        const [name] = Object.keys(parameters);
        if (iteration % 3 === 1) {
          tf.tidy(() => parameters[name].assign(tf.mul(parameters[name], 0.5)));
        }
        if (iteration % 3 === 2) optimizer.loadStateDict({ ...optimizer.stateDict(), state: {} });
        return value;
      },
    };
    const { one, two } = await both(() => ({
      train: { iterations: 9, batchSize: 5 },
      validation: { interval: 9 },
      callbacks: [setting] as never,
    }));
    assertSame(one, two, "2 workers");
  },
);

test(
  "a model that a callback has kept from before the last update is refused when it is set",
  once,
  async () => {
    let kept: RunView["model"] | undefined;
    const keeping: Callback = {
      name: "Keeping",
      trainStart: (run) => void (kept = run.model),
      iterationEnd(run) {
        const { bias } = Object.fromEntries(
          Object.entries(kept!.parameters).map(([name, value]) => [name.split(".")[1], value]),
        );
        if (run.state.iteration === 3) tf.tidy(() => bias.assign(tf.zerosLike(bias)));
      },
    };
    const config = partsConfig({
      workers: 2,
      train: { iterations: 6, batchSize: 5 },
      checkpoint: false,
      validation: { interval: 6 },
      callbacks: [keeping] as never,
    });
    await assert.rejects(runOf(config), {
      name: "ConfigError",
      message: "run.model: was not looked at between the last update and an assignment to " +
        "tower0.bias, which is lost: a callback must take the model from its run each time",
    });
  },
);
