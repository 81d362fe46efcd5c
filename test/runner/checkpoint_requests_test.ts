/** What a program may ask of checkpoints beside the run's own, and what is refused in a line. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  type Callback,
  IterationRunner,
  NonFiniteError,
  type RunConfig,
  type RunView,
} from "../../mod.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import type * as tf from "../../src/tensor/tf.ts";
import { Lines } from "../support/runs.ts";
import { imports, partsConfig, runOf } from "../parallel/support.ts";

/** A run that once, in iteration 7, has a loss that is not finite, and goes back. */
const failing = (callback: Callback) => {
  let fails = true;
  const once: Callback = {
    name: "Once",
    loss(value, { iteration }) {
      if (iteration !== 7 || !fails) return;
      fails = false;
      return { ...value, sum: value.sum.mul<tf.Scalar>(NaN) };
    },
  };
  return partsConfig({
    workers: 1,
    callbacks: [callback, once] as never,
    train: { iterations: 10, batchSize: 5, nonFinite: { rollback: 1 } },
    checkpoint: { interval: 4, keep: 1 },
  });
};

test("checkpoints that a program asks for change nothing of where a rollback goes", async () => {
  const plain = await runOf(failing({ name: "Asking", setup() {} }));
  assert.match(plain.lines.join("\n"), /going back to iteration 4 /);
  for (const hook of ["batch", "iterationEnd"] as const) {
    const saves: Promise<void>[] = [];
    const asking: Callback = {
      name: "Asking",
      [hook](...args: unknown[]) {
        saves.push((args.at(-1) as RunView).saveCheckpoint({ wait: false }));
      },
    };
    const asked = await runOf(failing(asking));
    await Promise.all(saves);
    assert.equal(asked.metrics, plain.metrics);
  }
});

test("an error of a gradients hook breaks the iteration off, whatever its class", async () => {
  const throwing: Callback = {
    name: "Throwing",
    gradients(_, run) {
      if (run.state.iteration === 3) throw new NonFiniteError(3, "it is too large");
    },
  };
  const config = partsConfig({ workers: 1, callbacks: [throwing as never] });
  const run = await create(config);
  await assert.rejects(run.train(), NonFiniteError);
  for (const call of [() => run.train(), () => run.validate(), () => run.test()]) {
    await assert.rejects(call, /iteration 3 was broken off \(.*it is too large/);
  }
  run.dispose();
});

test("checkpoints and restore() are refused in a line where they cannot be", async () => {
  const refused: unknown[] = [];
  const kept = (work: Promise<unknown>) => work.catch((error) => void refused.push(error.message));
  const asking: Callback = {
    name: "Asking",
    setup: (view) => kept(view.saveCheckpoint()) as Promise<void>,
    iterationEnd: (view) => {
      if (view.state.iteration === 2) return kept(run.restore()) as Promise<void>;
    },
    async save(view) {
      await new Promise((resolve) => setTimeout(resolve));
      await kept(view.saveCheckpoint());
    },
  };
  const config = partsConfig({
    workers: 1,
    callbacks: [asking as never],
    checkpoint: { interval: 50 },
  });
  const run = await create(config);
  await kept(run.saveCheckpoint());
  await run.train();
  run.dispose();
  const early = "cannot save a checkpoint before train() or restore()";
  assert.deepEqual(refused, [
    early,
    early,
    "cannot restore during train() of the same run; await it first",
    "cannot save a checkpoint in a save hook, which is part of one",
  ]);
});

/** A store whose checkpoints take their time. */
class SlowStore extends MemoryStore {
  checkpoints = 0;

  override async write(name: string, bytes: Uint8Array): Promise<void> {
    if (name.includes("step-")) {
      this.checkpoints++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await super.write(name, bytes);
  }
}

const create = (config: RunConfig, store = new MemoryStore()) =>
  IterationRunner.create(config, { imports, store, output: new Lines() });

test("requests that wait for the disk share one checkpoint", async () => {
  const store = new SlowStore();
  const run = await create(partsConfig({ workers: 1 }), store);
  await run.train();
  store.checkpoints = 0;
  await Promise.all(Array.from({ length: 50 }, () => run.saveCheckpoint()));
  assert.ok(store.checkpoints <= 2, `${store.checkpoints} checkpoints`);
  run.dispose();
});

test("train() ends when what its hooks have asked for is written", async () => {
  const store = new SlowStore();
  const asking: Callback = { name: "Asking", finish: (_, run) => void run.saveCheckpoint() };
  const run = await create(partsConfig({ workers: 1, callbacks: [asking as never] }), store);
  await run.train();
  const before = store.checkpoints;
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(store.checkpoints, before);
  assert.deepEqual(await store.list("checkpoints").then((names) => names.includes("latest")), true);
  run.dispose();
});

test("a checkpoint asked for in trainStart after a rollback counts what is kept of the records", async () => {
  let starts = 0, isKilled = false;
  const killed: Callback = {
    name: "Killed",
    async trainStart(run) {
      if (++starts !== 2 || !isKilled) return;
      await run.saveCheckpoint();
      throw new Error("killed");
    },
  };
  const config = failing(killed);
  // So that records lie between the checkpoint and the bad iteration.
  config.log = { interval: 1, progress: false, tensorboard: false };
  const whole = await runOf(config);
  starts = 0;
  isKilled = true;
  const again = failing(killed);
  again.log = config.log;
  const store = new MemoryStore();
  await assert.rejects(runOf(again, { store }), { message: "killed" });
  const { metrics } = await runOf(again, { store });
  assert.equal(metrics, whole.metrics);
});

/** Stops early after iteration 4, which is followed by a test. */
const stopping = (callback: Callback) =>
  partsConfig({
    workers: 1,
    callbacks: [callback as never],
    earlyStopping: { patience: 1, min_delta: 1e9 },
    train: { iterations: 12, batchSize: 5 },
    validation: { interval: 2 },
    test: { interval: 4 },
    checkpoint: { interval: 50, keep: null },
  });

/** What a run that stops early has heard of its end. */
const counting = (): Callback & { heard: string[] } => {
  const heard: string[] = [];
  return {
    name: "Counting",
    heard,
    testEnd: (_, run) => void heard.push(`testEnd ${run.state.iteration}`),
    iterationEnd: (run) => void heard.push(`iterationEnd ${run.state.iteration}`),
  };
};

test("what follows the iteration of an early stop is done by the run that resumes", async () => {
  const whole = await runOf(stopping(counting()));
  assert.equal(whole.summary.finished, "early-stopping");
  assert.equal(whole.summary.iterations, 4);
  const killed: Callback = {
    name: "Counting",
    async evaluationStart(run) {
      if (run.state.pending === "test") {
        await run.saveCheckpoint();
        throw new Error("killed");
      }
    },
  };
  const store = new MemoryStore();
  await assert.rejects(runOf(stopping(killed), { store }), { message: "killed" });
  const resumed = counting();
  const { metrics, summary } = await runOf(stopping(resumed), { store });
  assert.equal(metrics, whole.metrics);
  assert.equal(summary.finished, "early-stopping");
  // The last is of the best weights, at the end.
  assert.deepEqual(resumed.heard, ["testEnd 4", "iterationEnd 4", "testEnd 4"]);
});

test("an early stop stands when train() is called again after an error", async () => {
  let fails = true;
  const failing: Callback = {
    name: "Failing",
    testEnd() {
      if (fails) throw new Error("it fails");
    },
  };
  const run = await create(stopping(failing));
  await assert.rejects(run.train(), { message: "it fails" });
  fails = false;
  const { finished, iterations } = await run.train();
  assert.deepEqual([finished, iterations], ["early-stopping", 4]);
  run.dispose();
});

test("the mark of an error is not in the checkpoints of the run that goes on", async () => {
  let fails = true;
  const failing: Callback = {
    name: "Failing",
    iterationStart(run) {
      if (fails && run.state.iteration === 3) throw new Error("it fails");
    },
  };
  const config = partsConfig({ workers: 1, callbacks: [failing as never] });
  const run = await create(config);
  await assert.rejects(run.train(), { message: "it fails" });
  fails = false;
  assert.ok(await run.restore());
  assert.equal(run.state.exception, "it fails");
  await run.train();
  assert.equal(run.state.exception, undefined);
  run.dispose();
});

test("a second train() that makes no iteration records its final test again", async () => {
  const stopping: Callback = {
    name: "Stopping",
    trainStart(run) {
      if (run.state.iteration === 4) run.stop("max-time");
    },
    iterationEnd(run) {
      if (run.state.iteration === 4) run.stop("max-time");
    },
  };
  const store = new MemoryStore();
  const run = await create(
    partsConfig({
      workers: 1,
      callbacks: [stopping as never],
      train: { iterations: 9, batchSize: 5 },
    }),
    store,
  );
  const metrics = async () => new TextDecoder().decode(await store.read("metrics.jsonl"));
  await run.train();
  const once = await metrics();
  assert.match(once, /"phase":"test"/);
  await run.train();
  assert.equal(await metrics(), once);
  run.dispose();
});
