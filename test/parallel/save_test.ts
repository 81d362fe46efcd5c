/** Checkpoints that are asked for at any time, with and without workers: each is of one iteration. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Callback, RunView } from "../../mod.ts";
import { CheckpointDirectory, type CheckpointState } from "../../src/checkpoint/checkpoint.ts";
import type { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import type { Overrides } from "../support/runs.ts";
import { partsConfig, runOf } from "./support.ts";

/** Weights, buffers, the optimizer's state and its options; counters and records are as they were then. */
async function trained(store: MemoryStore, iteration: number): Promise<unknown> {
  const { tensors, meta }: CheckpointState = await new CheckpointDirectory(store).load(iteration);
  const values = Object.entries(tensors).filter(([name]) => !name.startsWith("callback."));
  return { tensors: values.map(([name, { data }]) => [name, [...data]]), of: meta.optimizer };
}

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
