/** Checkpoints that are asked for at any time, with and without workers: each is of one iteration. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig, type RunView } from "../../mod.ts";
import { CheckpointDirectory } from "../../src/checkpoint/checkpoint.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import { Lines, type Overrides } from "../support/runs.ts";
import { assertSame, imports, partsConfig, runOf, trained } from "./support.ts";

const averaging: Overrides = {
  callbacks: [{ type: "EMA", params: { decay: 0.5 } }],
  optimizer: { type: "AdamWScheduleFree", params: { lr: 0.05 } },
};

/** Calls `save` with the run in a hook. */
function saving(hook: "evaluationStart" | "iterationEnd", at: number): Callback {
  return {
    name: "Saving",
    async [hook](run: RunView) {
      if (run.state.iteration === at) await run.saveCheckpoint();
    },
  };
}

for (const workers of [1, 2]) {
  test(`an evaluation is saved with the weights of the training, workers ${workers}`, async () => {
    const config = (hook: "evaluationStart" | "iterationEnd") =>
      partsConfig({
        ...averaging,
        workers,
        callbacks: [...averaging.callbacks as never[], saving(hook, 2) as never],
        checkpoint: { interval: 50, keep: null },
      });
    const [evaluated, ended] = [
      await runOf(config("evaluationStart")),
      await runOf(config("iterationEnd")),
    ];
    assert.equal(evaluated.metrics, ended.metrics);
    assert.deepEqual(await trained(evaluated.store, 2), await trained(ended.store, 2));
  });

  test(`a test of the best weights is saved with those of the training, workers ${workers}`, async () => {
    // With this rate the last weights are not the best.
    const config = partsConfig({
      ...averaging,
      workers,
      optimizer: { type: "SGD", params: { lr: 2 } },
      train: { iterations: 4, batchSize: 5, clipGrad: { maxNorm: 1 } },
      validation: { interval: 1 },
      callbacks: [],
      checkpoint: { interval: 50, keep: null },
    });
    await runOf(config, {}, async (run) => {
      assert.ok(run.state.best!.iteration < 4);
      const before = await trained(run.store as MemoryStore, 4);
      const testing = run.test();
      await new Promise((resolve) => setTimeout(resolve));
      await run.saveCheckpoint();
      await testing;
      assert.deepEqual(await trained(run.store as MemoryStore, 4), before);
    });
  });
}

for (
  const optimizer of [
    { type: "SGD", params: { lr: 0.05 } },
    { type: "SAM", params: { rho: 0.5, optimizer: { type: "SGD", params: { lr: 0.05 } } } },
  ]
) {
  test(`a gradient of ${optimizer.type} under way is saved with its update`, async () => {
    const config = (callback: Callback) =>
      partsConfig({
        workers: 1,
        optimizer,
        callbacks: [callback as never],
        checkpoint: { interval: 50, keep: null },
      });
    let run: RunView, saved: Promise<void> | undefined;
    const early: Callback = {
      name: "Early",
      setup: (view) => void (run = view),
      loss: (_, { iteration }) => {
        if (iteration === 3) saved ??= run.saveCheckpoint();
      },
    };
    const [while3, after3] = [
      await runOf(config(early)),
      await runOf(config(saving("iterationEnd", 3))),
    ];
    await saved;
    assert.deepEqual(await trained(while3.store, 3), await trained(after3.store, 3));
  });
}

/** Hooks that get the run last, with what else they get. */
const moments: [hook: string, isMeant: (...args: unknown[]) => boolean][] = [
  ["batch", () => true],
  ["updateEnd", () => true],
  ["log", (phase) => phase === "train"],
  ["evaluationStart", () => true],
  ["log", (phase) => phase === "val"],
  ["validationEnd", () => true],
  ["log", (phase) => phase === "test"],
  ["testEnd", () => true],
];

/** A run with something for each hook to forget, or to do twice. */
const full = (workers: number, callback: Callback): RunConfig =>
  partsConfig({
    workers,
    callbacks: [callback, { type: "EMA", params: { decay: 0.5 } }] as never,
    scheduler: {
      type: "ReduceLROnPlateau",
      // Never good enough: the rate falls after every other validation.
      params: { factor: 0.5, patience: 1, threshold: 1e9, threshold_mode: "abs" },
      monitor: "val/loss",
    },
    earlyStopping: { patience: 4, min_delta: 1e9 },
    train: { iterations: 12, batchSize: 5, accumulate: 2 },
    log: { interval: 2, progress: false, tensorboard: false },
    validation: { interval: 2 },
    test: { interval: 4 },
    checkpoint: { interval: 50, keep: null },
  });

const idle: Callback = { name: "Killed", setup() {} };

for (const workers of [1, 2]) {
  let whole: ReturnType<typeof runOf> | undefined;
  for (const [hook, isMeant] of moments) {
    for (const way of hook === "batch" ? ["does not await"] : ["awaits", "does not await"]) {
      const [phase] = ["train", "val", "test"].filter((phase) => hook === "log" && isMeant(phase));
      const what = `${hook}${phase ? ` of ${phase}` : ""} that ${way} it`;
      test(`a checkpoint saved in ${what} is gone on from with the same bytes, workers ${workers}`, async () => {
        whole ??= runOf(full(workers, idle));
        let saved: Promise<void> | undefined;
        const killed: Callback = {
          name: "Killed",
          [hook](...args: unknown[]): unknown {
            const run = args.at(-1) as RunView;
            const at = hook === "batch" ? 3 : 4;
            if (run.state.iteration !== at || saved !== undefined || !isMeant(...args)) return;
            saved = run.saveCheckpoint();
            if (way === "awaits") return saved;
          },
          async iterationEnd(run) {
            if (run.state.iteration < 4) return;
            await saved;
            throw new Error("killed");
          },
        };
        const store = new MemoryStore();
        await assert.rejects(runOf(full(workers, killed), { store }), { message: "killed" });
        assert.equal((await new CheckpointDirectory(store).latest())?.iteration, 4);
        const resumed = await runOf(full(workers, idle), { store });
        const last = Object.keys((await whole).checkpoints);
        const checkpoints = Object.fromEntries(
          Object.entries(resumed.checkpoints).filter(([name]) => last.includes(name)),
        );
        assertSame({ ...resumed, checkpoints }, await whole, what);
      });
    }
  }
}

for (const workers of [1, 2]) {
  test(`an iteration that an error breaks off is not saved, nor gone on from, workers ${workers}`, async () => {
    let saved: Promise<unknown> | undefined, isBad = true;
    const failing: Callback = {
      name: "Failing",
      batch(_, run) {
        // Seen to by the time it fails.
        if (run.state.iteration === 2) saved ??= run.saveCheckpoint().catch((error) => error);
      },
      gradients(_, run) {
        if (run.state.iteration === 3 && isBad) throw new RangeError("of a hook\nin two lines");
      },
    };
    const config = (callback: Callback) =>
      partsConfig({
        workers,
        callbacks: [callback as never],
        checkpoint: { interval: 1, keep: 9 },
      });
    const whole = await runOf(config({ name: "Failing", gradients() {} }));
    const store = new MemoryStore();
    const run = await IterationRunner.create(config(failing), {
      imports,
      store,
      output: new Lines(),
    });
    await assert.rejects(run.train(), { name: "RangeError" });
    const refused = {
      name: "ConfigError",
      message:
        "iteration 3 was broken off (of a hook): restore() a checkpoint, or create the run anew",
    };
    assert.equal((await saved as Error).message, refused.message);
    await assert.rejects(run.saveCheckpoint(), refused);
    await assert.rejects(run.train(), refused);
    assert.equal((await new CheckpointDirectory(store).latest())?.iteration, 2);

    isBad = false;
    assert.ok(await run.restore());
    const { weightsSha256 } = await run.train();
    assert.equal(weightsSha256, whole.summary.weightsSha256);
    run.dispose();
  });

  test(`a save hook that asks for a checkpoint is refused in a line, workers ${workers}`, async () => {
    const endless: Callback = { name: "Endless", save: (run) => run.saveCheckpoint() };
    await assert.rejects(runOf(partsConfig({ workers, callbacks: [endless as never] })), {
      name: "ConfigError",
      message: "cannot save a checkpoint in a save hook, which is part of one",
    });
  });
}

test("a final test that a checkpoint knows of is recorded once", async () => {
  const ending: Callback = {
    name: "Ending",
    testEnd: (_, run) => run.saveCheckpoint(),
    finish() {
      throw new Error("killed");
    },
  };
  const config = (callback: Callback) =>
    partsConfig({ workers: 1, callbacks: [callback as never] });
  const store = new MemoryStore();
  await assert.rejects(runOf(config(ending), { store }), { message: "killed" });
  const resumed = await runOf(config({ name: "Ending", setup() {} }), { store });
  assertSame(resumed, {
    ...await runOf(config({ name: "Ending", setup() {} })),
    checkpoints: resumed.checkpoints,
  }, "resumed");
  assert.equal(resumed.metrics.match(/"phase":"test"/g)?.length, 1);
});

test("a checkpoint asked for while that of the cadence is copied says the same anchor", async () => {
  let run: RunView, saved: Promise<void> | undefined;
  const asking: Callback = {
    name: "Asking",
    setup: (view) => void (run = view),
    // Of the checkpoint of iteration 4, while it is made.
    state() {
      if (run.state.iteration === 4) queueMicrotask(() => saved ??= run.saveCheckpoint());
      return { meta: {} };
    },
    load() {},
  };
  const { store } = await runOf(partsConfig({
    workers: 1,
    callbacks: [asking as never],
    train: { iterations: 5, batchSize: 5, nonFinite: { rollback: 1 } },
    checkpoint: { interval: 4, keep: null },
  }));
  await saved;
  assert.ok(saved !== undefined);
  const { meta } = await new CheckpointDirectory(store).load(4);
  assert.equal((meta.state as { anchor?: number }).anchor, 4);
});
