/** A run that was stopped goes on with any number of workers as if nothing had happened. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { IterationRunner, type RunConfig, type RunView } from "../../mod.ts";
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

const rows: [title: string, overrides: Overrides, workers: number][] = [
  ["with 1, with the shards of the config", { shards: 4 }, 1],
  ["with 3, with as many shards as the workers it began with", { shards: undefined }, 3],
];

for (const [title, overrides, workers] of rows) {
  test(`begun with 2 workers, stopped, ended ${title}`, async () => {
    const whole = await runOf(config(2, overrides));
    const { store, summary } = await runOf(config(2, overrides, 5));
    assert.equal(summary.finished, "max-time");
    assert.equal(summary.iterations, 5);
    const ended = await runOf(config(workers, overrides), { store });
    assert.ok(ended.lines.includes("resuming memory after iteration 5"), ended.lines.join("\n"));
    assert.equal(ended.summary.workers, workers);
    assert.equal(ended.summary.shards, whole.summary.shards);
    // That of the stop is beside the cadence.
    delete ended.checkpoints["step-00000005.safetensors"];
    for (const name of Object.keys(whole.checkpoints)) {
      if (!(name in ended.checkpoints)) delete whole.checkpoints[name];
    }
    assert.ok("step-00000008.safetensors" in whole.checkpoints);
    assertSame(whole, ended, title);
    const output = new Lines();
    const again = await IterationRunner.create(config(1, overrides), { imports, store, output });
    assert.equal(again.settings.shards, whole.summary.shards);
    assert.deepEqual(await again.test(), whole.summary.test);
    again.dispose();
  });
}
