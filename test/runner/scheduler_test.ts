/** Schedulers in a run: plateau after validations, totals from the iterations, resuming anywhere. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig } from "../../mod.ts";
import { Lines, type Overrides, smallConfig, trainOnce, withFolder } from "../support/runs.ts";

/** Nothing but the first value is better. */
const never = { patience: 0, factor: 0.5, threshold_mode: "abs", threshold: 1e9 };

/** The rates of the groups after training. */
async function lastRate(config: RunConfig): Promise<number> {
  const run = await IterationRunner.create(config, { output: new Lines() });
  try {
    await run.train();
    return run.optimizer.paramGroups[0].lr;
  } finally {
    run.dispose();
  }
}

function written(directory: string): RunConfig {
  return JSON.parse(readFileSync(join(directory, "run", "config.json"), "utf8"));
}

test("ReduceLROnPlateau steps after each validation", async () => {
  const config = smallConfig({
    optimizer: { type: "SGD", params: { lr: 1e-3 } },
    scheduler: { type: "ReduceLROnPlateau", params: never },
    validation: { interval: 3 },
  });
  // Validations at 3, 6, 9 and 10, the first of which is the best.
  assert.equal(await lastRate(config), 1e-3 / 8);
});

test("ReduceLROnPlateau takes monitor and mode from best, else the mode of its metric", async () => {
  const rows: [Overrides, string, string][] = [
    [{}, "val/loss", "min"],
    [{ best: { monitor: "mae" } }, "val/mae", "min"],
    [{ best: { monitor: "r2" } }, "val/r2", "max"],
    [{ best: { monitor: "mae", mode: "max" } }, "val/mae", "max"],
    [
      { scheduler: { type: "ReduceLROnPlateau", params: { Mode: "min" }, monitor: "r2" } },
      "r2",
      "min",
    ],
    [{ scheduler: { type: "ReduceLROnPlateau", monitor: "val/r2" } }, "val/r2", "max"],
    [{ scheduler: { TYPE: "reduce_lr_on_plateau", monitor: "val/mae" } }, "val/mae", "min"],
  ];
  for (const [overrides, monitor, mode] of rows) {
    await withFolder(async (directory) => {
      await trainOnce(smallConfig({
        name: "run",
        metrics: ["mae", "r2"],
        scheduler: { type: "ReduceLROnPlateau" },
        train: { iterations: 2 },
        checkpoint: { directory },
        ...overrides,
      }));
      const { scheduler } = written(directory);
      const params: Record<string, unknown> = scheduler?.params ?? {};
      assert.deepEqual([scheduler?.monitor, params.mode ?? params.Mode], [monitor, mode]);
    });
  }
});

test("a schedule that the run cannot follow to its end is refused before it starts", async () => {
  const plateau = { type: "ReduceLROnPlateau" };
  const rows: [Overrides, RegExp][] = [
    [
      { scheduler: plateau, validation: false },
      /^ConfigError: scheduler.monitor: needs validation/,
    ],
    [
      { scheduler: { ...plateau, monitor: "val/mea" } },
      /^ConfigError: scheduler.monitor: unknown validation value "val\/mea"; did you mean 'mae'\?/,
    ],
    [
      {
        scheduler: {
          type: "SequentialLR",
          schedulers: [{ type: "LinearLR" }, plateau],
          milestones: [3],
        },
      },
      /^ConfigError: scheduler.schedulers\[1\]: cannot be part of "SequentialLR": it steps with a metric/,
    ],
    [
      { scheduler: { type: "OneCycleLR", params: { max_lr: 0.1, total_steps: 9 } } },
      /^ConfigError: scheduler: OneCycleLR has 9 steps, received step 10$/,
    ],
    [
      { scheduler: { type: "LambdaLR", params: { lr_lambda: "0.9 ** k" } } },
      /^ConfigError: scheduler.params.lr_lambda: must be a function of the step/,
    ],
  ];
  for (const [overrides, message] of rows) {
    await assert.rejects(IterationRunner.create(smallConfig(overrides)), message);
  }
});

test('"auto" totals are the iterations of the run, and stand as numbers in config.json', async () => {
  await withFolder(async (directory) => {
    const config = smallConfig({
      name: "run",
      scheduler: {
        type: "SequentialLR",
        milestones: [2],
        schedulers: [
          { type: "LinearLR", params: { total_iters: "auto" } },
          { type: "ClampedCosineAnnealingLR", params: { tMax: "auto", eta_min: 1e-4 } },
        ],
      },
      checkpoint: { directory },
    });
    assert.equal(await lastRate(config), 1e-4);
    const { schedulers } = written(directory).scheduler as {
      schedulers?: { params: Record<string, unknown> }[];
    };
    assert.deepEqual(schedulers?.map(({ params }) => params), [
      { total_iters: 2 },
      { tMax: 8, eta_min: 1e-4 },
    ]);
  });
});

test("a run stopped between validations or milestones goes on with the same rates and weights", async () => {
  const rows: RunConfig["scheduler"][] = [
    { type: "ReduceLROnPlateau", params: { ...never, patience: 1 } },
    {
      type: "ChainedScheduler",
      schedulers: [
        {
          type: "SequentialLR",
          milestones: [4],
          schedulers: [
            { type: "LinearLR" },
            { type: "CyclicLR", params: { base_lr: 1e-3, max_lr: 0.01, step_size_up: 2 } },
          ],
        },
        { type: "PolynomialLR", params: { total_iters: 12 }, target: "weight_decay" },
      ],
    },
  ];
  for (const scheduler of rows) {
    const hashes: string[] = [];
    for (const stops of [[12], [1, 5, 7, 12]]) {
      await withFolder(async (directory) => {
        for (const stop of stops) {
          const callback: Callback = {
            // Reports do not enter the fingerprint.
            name: "ProgressBar",
            iterationEnd: (run) => {
              if (run.state.iteration === stop) run.stop("max-time");
            },
          };
          const { summary } = await trainOnce(smallConfig({
            name: "run",
            scheduler,
            train: { iterations: 12 },
            validation: { interval: 2 },
            checkpoint: { directory },
            callbacks: [callback],
          }));
          assert.equal(summary.iterations, stop);
          if (stop === 12) hashes.push(summary.weightsSha256);
        }
      });
    }
    assert.equal(hashes[0], hashes[1], String(scheduler?.type));
  }
});
