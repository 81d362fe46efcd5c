/** What a program may ask of checkpoints beside the run's own, and what is refused in a line. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, IterationRunner, NonFiniteError, type RunView } from "../../mod.ts";
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
  const run = await IterationRunner.create(config, {
    imports,
    store: new MemoryStore(),
    output: new Lines(),
  });
  await assert.rejects(run.train(), NonFiniteError);
  await assert.rejects(run.train(), /iteration 3 was broken off \(.*it is too large/);
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
  const store = new MemoryStore();
  const run = await IterationRunner.create(config, { imports, store, output: new Lines() });
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

test("requests that wait for the disk share one checkpoint", async () => {
  let writes = 0;
  class Slow extends MemoryStore {
    override async write(name: string, bytes: Uint8Array): Promise<void> {
      if (name.includes("step-")) {
        writes++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await super.write(name, bytes);
    }
  }
  const run = await IterationRunner.create(partsConfig({ workers: 1 }), {
    imports,
    store: new Slow(),
    output: new Lines(),
  });
  await run.train();
  writes = 0;
  await Promise.all(Array.from({ length: 50 }, () => run.saveCheckpoint()));
  assert.ok(writes <= 2, `${writes} checkpoints`);
  run.dispose();
});
