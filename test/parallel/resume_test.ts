/** A run that was stopped goes on with any number of workers as if nothing had happened. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { IterationRunner, type RunConfig, type RunView } from "../../mod.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import { Lines, type Overrides } from "../support/runs.ts";
import { assertSame, imports, partsConfig, runOf } from "./support.ts";

/** A run whose state is more than its weights; `stop` ends it after an iteration. */
function config(workers: number, overrides: Overrides, stop?: number): RunConfig {
  const base = partsConfig({
    workers,
    optimizer: {
      type: "Lookahead",
      params: { k: 3, optimizer: { type: "AdamW", params: { lr: 0.05 } } },
      groups: [
        { match: "branch|tied", optimizer: { type: "Prodigy", params: { d0: 1e-2 } } },
        { match: "in$", optimizer: { type: "Adafactor", params: { lr: 0.05 } } },
      ],
    },
    scheduler: { type: "StepLR", params: { step_size: 2, gamma: 0.5 } },
    train: { iterations: 8, batchSize: 5, accumulate: 2, clipGrad: { maxNorm: 0.5 } },
    log: { interval: 3, progress: false, tensorboard: false },
    // By the name of one that only reports, a callback may come and go.
    callbacks: [{ type: "EMA", params: { decay: 0.5 } }, {
      name: "TensorBoard",
      iterationEnd: (run: RunView) =>
        run.state.iteration === stop ? run.stop("max-time") : undefined,
    }],
    ...overrides,
  });
  if (overrides.shards === undefined) delete base.shards;
  return base;
}

async function copyOf(store: MemoryStore): Promise<MemoryStore> {
  const copy = new MemoryStore();
  const checkpoints = (await store.list("checkpoints")).map((name) => `checkpoints/${name}`);
  for (const name of [...checkpoints, "config.json", "metrics.jsonl", "timings.jsonl"]) {
    await copy.write(name, (await store.read(name))!);
  }
  return copy;
}

const rows: [title: string, overrides: Overrides][] = [
  ["shards of the config", { shards: 4 }],
  ["shards by the workers it began with", { shards: undefined }],
];

for (const [title, overrides] of rows) {
  test(`begun with 2 workers, stopped, ended with 1 and with 3: ${title}`, async () => {
    const whole = await runOf(config(2, overrides));
    const begun = await runOf(config(2, overrides, 5));
    assert.equal(begun.summary.finished, "max-time");
    assert.equal(begun.summary.iterations, 5);
    for (const workers of [1, 3]) {
      const store = await copyOf(begun.store);
      const ended = await runOf(config(workers, overrides), { store });
      assert.ok(ended.lines.includes("resuming memory after iteration 5"), ended.lines.join("\n"));
      assert.equal(ended.summary.workers, workers);
      assert.equal(ended.summary.shards, whole.summary.shards);
      // The one of the stop is beside the cadence.
      assertSame(
        { ...whole, checkpoints: {} },
        { ...ended, checkpoints: {} },
        `${workers} workers`,
      );
      const last = "step-00000008.safetensors";
      assert.deepEqual(ended.checkpoints[last], whole.checkpoints[last]);
    }
  });
}

test("a run that says nothing of shards is tested with those of its training", async () => {
  const { store, summary } = await runOf(config(2, { shards: undefined }));
  const output = new Lines();
  const options = { imports, store, output, purpose: "test" as const };
  const run = await IterationRunner.create(config(1, { shards: undefined }), options);
  try {
    assert.equal(run.settings.shards, 2);
    assert.deepEqual(await run.test(), summary.test);
  } finally {
    run.dispose();
  }
});
