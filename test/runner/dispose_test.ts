/** Disposing of a run while a call of it is under way: one line, and nothing is left. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig, tf } from "../../mod.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import { imports, partsConfig } from "../parallel/support.ts";
import { useBackend } from "../support/backend.ts";
import { Lines } from "../support/runs.ts";
import { linear, linearConfig } from "./support.ts";

await useBackend("wasm");

const disposed = { name: "ConfigError", message: "the run has been disposed" };

interface Case {
  /** Disposes of the run in the middle. */
  readonly hooks: (dispose: () => void) => Omit<Callback, "name">;
  readonly call?: (run: IterationRunner) => Promise<unknown>;
}

/** The `nth` call of what is returned does `act`. */
function nth(n: number, act: () => void): () => void {
  let calls = 0;
  return () => {
    if (++calls === n) act();
  };
}

const cases: Record<string, Case> = {
  "the loading of a batch": { hooks: (dispose) => ({ iterationStart: nth(3, dispose) }) },
  "a gradient that callbacks have replaced": {
    hooks: (dispose) => {
      const end = nth(3, dispose);
      return {
        gradients({ grads, scale, norm }) {
          end();
          const copies = Object.entries(grads).map(([name, grad]) => [name, tf.clone(grad)]);
          return { grads: Object.fromEntries(copies), scale, norm };
        },
      };
    },
  },
  "an update": { hooks: (dispose) => ({ updateEnd: nth(3, dispose) }) },
  "a validation": { hooks: (dispose) => ({ evaluationStart: nth(2, dispose) }) },
  "a hook that fails": {
    hooks: (dispose) => ({
      updateEnd: nth(3, () => {
        dispose();
        throw new Error("enough");
      }),
    }),
  },
  "the end of an iteration": { hooks: (dispose) => ({ iterationEnd: nth(4, dispose) }) },
  "a call of test": {
    hooks: (dispose) => ({ evaluationStart: nth(1, dispose) }),
    call: (run) => run.test(),
  },
  "a call of validate": {
    hooks: (dispose) => ({ evaluationStart: nth(1, dispose) }),
    call: (run) => run.validate(),
  },
  "a call of predict": {
    hooks: (dispose) => ({ evaluationStart: nth(1, dispose) }),
    call: (run) => run.predict([[1, 2, 3], [3, 2, 1], [2, 2, 2]]),
  },
};

for (const workers of [1, 2]) {
  for (const [what, { hooks, call }] of Object.entries(cases)) {
    test(`dispose() during ${what} ends the call in one line and leaves nothing, workers: ${workers}`, async () => {
      const before = tf.memory().numTensors;
      const disposing = { name: "Disposing", ...hooks(() => run.dispose()) };
      const output = new Lines();
      const config: RunConfig = partsConfig({
        workers,
        optimizer: { type: "AdamW", params: { lr: 0.05 } },
        test: { batchSize: 2 },
        callbacks: [disposing, {
          type: "EMA",
          params: { decay: 0.5 },
        }] as never,
      });
      const run = await IterationRunner.create(config, {
        imports,
        output,
        store: new MemoryStore(),
      });
      const ended = call === undefined ? run.train() : call(run);
      // The error of a hook is the one to know.
      const own = { name: "Error", message: "enough" };
      await assert.rejects(ended, what === "a hook that fails" ? own : disposed);
      assert.equal(tf.memory().numTensors, before);
      assert.deepEqual(output.lines.filter((line) => line.includes("after an error")), []);
      await assert.rejects(run.train(), disposed);
      run.dispose();
    });
  }
}

test("dispose() ends the two passes of SAM, whichever is under way", async () => {
  for (const pass of [1, 2]) {
    const before = tf.memory().numTensors;
    // The trial of create() makes one.
    const end = nth(pass + 1, () => run.dispose());
    const model = linear((y, _, { training }) => {
      if (training) end();
      return y;
    }, () => ({ buffer: tf.tidy(() => tf.variable(tf.scalar(0), false)) }));
    const optimizer = { type: "SAM", params: { base_optimizer: "SGD", lr: 0.1 } };
    const run = await IterationRunner.create(
      linearConfig({ model: { type: model }, optimizer, validation: false }),
      { output: new Lines() },
    );
    await assert.rejects(run.train(), disposed);
    assert.equal(tf.memory().numTensors, before);
  }
});

test("dispose() waits for a checkpoint that is being made", async () => {
  const store = new MemoryStore();
  const run = await IterationRunner.create(partsConfig(), { imports, store, output: new Lines() });
  await run.train();
  const saving = run.saveCheckpoint();
  run.dispose();
  await saving;
  await assert.rejects(run.saveCheckpoint(), disposed);
  await assert.rejects(run.restore(), disposed);
});

for (const workers of [1, 2]) {
  test(`dispose() refuses a checkpoint that waits for an iteration, workers: ${workers}`, async () => {
    let saved: Promise<unknown> | undefined;
    const saving: Callback = {
      name: "Saving",
      batch(_, view) {
        if (view.state.iteration !== 2) return;
        saved = view.saveCheckpoint().catch((error) => error);
        setTimeout(() => run.dispose());
      },
    };
    const store = new MemoryStore();
    const config = partsConfig({
      workers,
      callbacks: [saving as never],
      train: { iterations: 1e5, batchSize: 5 },
      checkpoint: { interval: 1e6 },
      log: { interval: 1e6, progress: false, tensorboard: false },
      validation: false,
    });
    const run = await IterationRunner.create(config, { imports, store, output: new Lines() });
    await assert.rejects(run.train(), disposed);
    const outcome = await saved;
    // In process the iteration may have been made by then.
    if (workers === 1 && outcome === undefined) return;
    assert.equal((outcome as Error).message, disposed.message);
    assert.deepEqual(await store.list("checkpoints"), []);
  });
}

test("a run that is disposed of between two calls is refused at once, its callbacks hear it once", async () => {
  let heard = 0;
  const run = await IterationRunner.create(
    linearConfig({ callbacks: [{ name: "Hears", dispose: () => void heard++ }] }),
    { output: new Lines() },
  );
  run.dispose();
  run.dispose();
  assert.equal(heard, 1);
  await assert.rejects(run.validate(), disposed);
});

test("a run that is disposed of while it trains leaves no tensor", async () => {
  const tensors: number[] = [];
  for (let i = 0; i < 3; i++) {
    const config = partsConfig({ workers: 2, train: { iterations: 1e6 }, checkpoint: false });
    const options = { imports, output: new Lines(), store: new MemoryStore() };
    const run = await IterationRunner.create(config, options);
    const training = assert.rejects(run.train(), disposed);
    while (run.state.iteration < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    run.dispose();
    await training;
    tensors.push(tf.memory().numTensors);
  }
  assert.deepEqual(tensors, tensors.map(() => tensors[0]));
});
