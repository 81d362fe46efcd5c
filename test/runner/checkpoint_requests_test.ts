/** What a program may ask of checkpoints beside the run's own, and what is refused in a line. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  type Callback,
  CheckpointError,
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
      await kept(view.saveAtCadence());
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
    "saveAtCadence() is for the beginning of an iterationEnd hook",
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

test("checkpoints asked for in trainStart and not awaited lose no record", async () => {
  for (const waits of [true, false]) {
    const saves: Promise<void>[] = [];
    const asking: Callback = {
      name: "Asking",
      trainStart(run) {
        const saved = run.saveCheckpoint();
        saves.push(saved);
        return waits ? saved : undefined;
      },
    };
    const [plain, asked] = [
      await runOf(failing({ name: "Asking", trainStart() {} })),
      await runOf(failing(asking)),
    ];
    await Promise.all(saves);
    assert.equal(asked.metrics, plain.metrics);
    assert.equal(saves.length, 2);
  }
});

/** A store that is slow to add to files and to read checkpoints. */
class LaggingStore extends MemoryStore {
  override async append(name: string, bytes: Uint8Array): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 80));
    await super.append(name, bytes);
  }

  override async read(name: string): ReturnType<MemoryStore["read"]> {
    if (name.includes("step-")) await new Promise((resolve) => setTimeout(resolve, 30));
    return await super.read(name);
  }
}

test("a checkpoint asked for while a rollback is under way is of the state it goes back to", async () => {
  const run = async (asks: boolean) => {
    let saved: Promise<void> | undefined, view: RunView, fails = true;
    const failing: Callback = {
      name: "Failing",
      setup: (run) => void (view = run),
      loss(value, { iteration }) {
        if (iteration !== 7 || !fails) return;
        fails = false;
        if (asks) setTimeout(() => saved = view.saveCheckpoint(), 10);
        return { ...value, sum: value.sum.mul<tf.Scalar>(NaN) };
      },
      async iterationStart({ state }) {
        if (state.iteration === 4) await new Promise((resolve) => setTimeout(resolve, 200));
      },
    };
    const config = partsConfig({
      workers: 1,
      callbacks: [failing as never],
      train: { iterations: 9, batchSize: 5, nonFinite: { rollback: 1 } },
      log: { interval: 1, progress: false, tensorboard: false },
      checkpoint: { interval: 4 },
    });
    const { metrics } = await runOf(config, { store: new LaggingStore() });
    assert.equal(saved !== undefined, asks);
    await saved;
    return metrics;
  };
  assert.equal(await run(true), await run(false));
});

test("a rollback keeps a stop that was asked for, and forgets an end that is not of this run", async () => {
  const stopping: Callback = {
    name: "Stopping",
    async iterationStart(run) {
      if (run.state.iteration !== 5) return;
      run.stop("early-stopping");
      await run.saveCheckpoint();
    },
  };
  const { summary } = await runOf(failing(stopping));
  assert.equal(summary.finished, "early-stopping");
  const resumed = await runOf(failing({ name: "Stopping", setup() {} }));
  assert.equal(resumed.summary.finished, "iterations");
});

/** A store that is full from some time on. */
class FullStore extends MemoryStore {
  isFull = false;

  override async write(name: string, bytes: Uint8Array): Promise<void> {
    if (this.isFull && name.includes("step-")) throw new CheckpointError("the disk is full");
    await super.write(name, bytes);
  }
}

test("whoever waits for a checkpoint hears that it could not be written", async () => {
  const full = { message: "the disk is full" };
  const store = new FullStore();
  const run = await create(partsConfig({ workers: 1 }), store);
  await run.train();
  store.isFull = true;
  for (const saved of [1, 2, 3].map(() => run.saveCheckpoint())) await assert.rejects(saved, full);
  run.dispose();
  // The run itself too, if a program keeps the fault to itself.
  for (const hook of ["iterationEnd", "finish"] as const) {
    const store = new FullStore();
    const quiet: Callback = {
      name: "Quiet",
      [hook](...args: unknown[]) {
        const view = args.at(-1) as RunView;
        if (view.state.iteration !== 4) return;
        store.isFull = true;
        view.saveCheckpoint().catch(() => {});
      },
    };
    const failing = await create(
      partsConfig({ workers: 1, callbacks: [quiet as never], checkpoint: { interval: 50 } }),
      store,
    );
    await assert.rejects(failing.train(), full);
    // It has been told.
    await failing.test();
    failing.dispose();
  }
});

test("a checkpoint after the final test changes no record of the run that goes on", async () => {
  const run = async (asks: boolean) => {
    const store = new MemoryStore();
    const stopping = (at: number): Callback => ({
      name: "Stopping",
      iterationEnd(run) {
        if (run.state.iteration === at) run.stop("max-time");
      },
      async finish(_, run) {
        if (asks && at === 2) await run.saveCheckpoint();
      },
    });
    const config = (at: number) =>
      partsConfig({ workers: 1, callbacks: [stopping(at) as never], checkpoint: { interval: 50 } });
    await runOf(config(2), { store });
    return (await runOf(config(50), { store })).metrics;
  };
  assert.equal(await run(true), await run(false));
});

test("a stop before train() is of no run", async () => {
  const run = await create(partsConfig({ workers: 1 }));
  run.stop("early-stopping");
  const { finished, iterations } = await run.train();
  assert.deepEqual([finished, iterations], ["iterations", 4]);
  run.dispose();
});

test("a resumed run knows the loss of its last update", async () => {
  const losses: number[] = [];
  let isKilled = true;
  const killed: Callback = {
    name: "Killed",
    async updateEnd(run) {
      if (run.state.iteration !== 3 || !isKilled) return;
      losses.push(run.lastLoss, run.lastGradNorm);
      await run.saveCheckpoint();
      isKilled = false;
      throw new Error("killed");
    },
    iterationEnd(run) {
      if (run.state.iteration === 3) losses.push(run.lastLoss, run.lastGradNorm);
    },
  };
  const config = partsConfig({ workers: 1, callbacks: [killed as never] });
  const store = new MemoryStore();
  await assert.rejects(runOf(config, { store }), { message: "killed" });
  await runOf(config, { store });
  assert.equal(losses.length, 4);
  assert.deepEqual(losses.slice(2), losses.slice(0, 2));
});
