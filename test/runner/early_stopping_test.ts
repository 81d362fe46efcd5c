/** Early stopping, on validation values that are written down. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  EarlyStopping,
  ExponentialMovingAverage,
  IterationRunner,
  metrics,
  type RunConfig,
} from "../../mod.ts";
import { Lines, trainOnce, withFolder } from "../support/runs.ts";
import { linearConfig, observe } from "./support.ts";

/** A run whose validation number k reports `values[k - 1]` as `told`, every 2 iterations. */
function told(
  values: number[],
  earlyStopping: Record<string, unknown> | undefined,
  { higherIsBetter = false, start = 0, ...overrides }: Record<string, unknown> = {},
): RunConfig {
  let k = start as number;
  const [mse] = metrics.buildMetrics(["mse"]);
  const metric = {
    ...mse,
    name: "told",
    higherIsBetter: higherIsBetter as boolean,
    finalize: () => values[k++],
  };
  return linearConfig({
    metrics: [metric],
    best: { monitor: "told" },
    train: { iterations: 2 * values.length, batchSize: 4 },
    validation: { interval: 2, sanity: 0 },
    test: false,
    earlyStopping,
    ...overrides,
  });
}

const rows: {
  title: string;
  values: number[];
  options: Record<string, unknown>;
  higherIsBetter?: boolean;
  /** Validations made, and whether it was early stopping that ended the run. */
  stops: number | undefined;
  best: number;
}[] = [
  {
    title: "patience in validations",
    values: [3, 2, 4, 5, 6, 1],
    options: { patience: 3 },
    stops: 5,
    best: 2,
  },
  { title: "patience 1", values: [3, 4, 1], options: { patience: 1 }, stops: 2, best: 3 },
  {
    title: "an improvement resets",
    values: [3, 4, 2, 3, 1, 2],
    options: { patience: 2 },
    stops: undefined,
    best: 1,
  },
  {
    title: "a tie is no improvement",
    values: [3, 3, 3, 1],
    options: { patience: 2 },
    stops: 3,
    best: 3,
  },
  {
    title: "min_delta",
    values: [3, 2.9, 2.85, 2.84, 1],
    options: { patience: 3, min_delta: 0.2 },
    stops: 4,
    best: 2.84,
  },
  {
    title: "min_delta is of the last improvement",
    values: [3, 2.9, 2.7, 2.6, 2.4, 2.3],
    options: { patience: 2, minDelta: 0.2 },
    stops: undefined,
    best: 2.3,
  },
  {
    title: "NaN counts against",
    values: [3, NaN, NaN, 1],
    options: { patience: 2 },
    stops: 3,
    best: 3,
  },
  {
    title: "NaN from the start",
    values: [NaN, NaN, 1],
    options: { patience: 2 },
    stops: 2,
    best: NaN,
  },
  {
    title: "NaN first",
    values: [NaN, 5, 4, 3],
    options: { patience: 2 },
    stops: undefined,
    best: 3,
  },
  {
    title: "stopping threshold",
    values: [3, 2, 0.5, 0.1],
    options: { stopping_threshold: 0.5 },
    stops: 3,
    best: 0.5,
  },
  {
    title: "divergence threshold",
    values: [3, 2, 9, 1],
    options: { divergence_threshold: 9 },
    stops: 3,
    best: 2,
  },
  {
    title: "max, inferred",
    values: [1, 2, 1.5, 1.6, 3],
    options: { patience: 2 },
    higherIsBetter: true,
    stops: 4,
    best: 2,
  },
  {
    title: "max, thresholds",
    values: [1, 2, 0.1],
    options: { divergence_threshold: 0.1, stopping_threshold: 5 },
    higherIsBetter: true,
    stops: 3,
    best: 2,
  },
  {
    title: "mode of its own",
    values: [1, 2, 3, 2, 2],
    options: { patience: 2, mode: "max" },
    stops: 5,
    best: 1,
  },
];

for (const { title, values, options, higherIsBetter, stops, best } of rows) {
  test(`EarlyStopping: ${title}`, async () => {
    const { summary, lines } = await observe(told(values, options, { higherIsBetter }));
    assert.equal(summary.iterations, 2 * (stops ?? values.length));
    assert.equal(summary.finished, stops === undefined ? "iterations" : "early-stopping");
    assert.equal(summary.best?.value ?? NaN, best);
    assert.equal(
      lines.filter((line) => line.startsWith("stopping: val/told")).length,
      stops ? 1 : 0,
    );
  });
}

test("a callback that has been in a run begins the next one afresh", async () => {
  const stopping = new EarlyStopping({ patience: 2 });
  const average = new ExponentialMovingAverage({ decay: 0.5 });
  const once = (callbacks: object[]) => observe(told([3, 2, 4, 5, 6, 1], undefined, { callbacks }));
  const first = await once([stopping, average]);
  assert.deepEqual([first.summary.finished, first.summary.iterations], ["early-stopping", 8]);
  for (const callbacks of [[stopping, average], [new EarlyStopping({ patience: 2 }), average]]) {
    const next = await once(callbacks);
    const { seconds: _, samplesPerSecond: __, ...summary } = next.summary;
    assert.deepEqual({ ...first.summary, ...summary }, first.summary);
    assert.deepEqual(next.watch.logged, first.watch.logged);
  }

  // Not yet disposed of: the averages of the first run are not those of the second.
  const shared = new ExponentialMovingAverage({ decay: 0.9 });
  const config = linearConfig({ train: { iterations: 4, batchSize: 4 }, callbacks: [shared] });
  const runs: IterationRunner[] = [];
  const losses: (number | undefined)[] = [];
  for (let i = 0; i < 2; i++) {
    const run = await IterationRunner.create(config, { output: new Lines() });
    losses.push((await run.train()).test?.loss);
    runs.push(run);
  }
  assert.equal(losses[1], losses[0]);
  runs.forEach((run) => run.dispose());
});

test("EarlyStopping: another monitor than the best model's has its own direction", async () => {
  const [mse] = metrics.buildMetrics(["mse"]);
  const scores = [1, 2, 3, 4, 4, 4];
  let k = 0;
  const score = { ...mse, name: "score", higherIsBetter: true, finalize: () => scores[k++] };
  for (const monitor of ["score", "val/score"]) {
    k = 0;
    const { summary } = await observe(linearConfig({
      metrics: ["mse", score],
      train: { iterations: 6, batchSize: 4 },
      validation: { interval: 1, sanity: 0 },
      test: false,
      callbacks: [new EarlyStopping({ monitor, patience: 2 })],
    }));
    assert.equal(summary.best!.metric, "val/loss");
    assert.equal(summary.iterations, 6);
    assert.equal(summary.finished, "early-stopping");
  }
});

test("EarlyStopping: what it could never follow is refused before anything is built", async () => {
  const rows: [RunConfig, RegExp][] = [
    [
      linearConfig({ earlyStopping: { monitor: "val/mea" } }),
      /^earlyStopping\.monitor: unknown validation value "val\/mea"; did you mean 'mae'\?/,
    ],
    [
      linearConfig({ callbacks: [{ type: "EarlyStopping", params: { monitor: "accuracy" } }] }),
      /^callbacks\[0\]\.params\.monitor: unknown validation value "accuracy"/,
    ],
    [linearConfig({ earlyStopping: {}, validation: false }), /^earlyStopping: needs validation/],
    [
      linearConfig({ callbacks: ["EarlyStopping"] }, { validation: undefined }),
      /^callbacks\[0\]\S*: needs validation/,
    ],
    [
      linearConfig({ earlyStopping: { patience: 0 } }),
      /^earlyStopping\.patience: must be an integer >= 1/,
    ],
    [
      linearConfig({ earlyStopping: { min_delta: -1 } }),
      /^earlyStopping\.min_delta: must be a number >= 0/,
    ],
  ];
  for (const [config, message] of rows) {
    await assert.rejects(IterationRunner.create(config, { output: new Lines() }), {
      name: "ConfigError",
      message,
    });
  }
});

test("EarlyStopping: its count survives a resume, and one that is new in a resume begins at nothing", async () => {
  const values = [3, 4, 5, 6, 7, 8];
  await withFolder(async (directory) => {
    const stop = {
      name: "ProgressBar",
      validationEnd: (
        _: unknown,
        run: { state: { iteration: number }; stop(r: "signal"): void },
      ) => {
        if (run.state.iteration === 4) run.stop("signal");
      },
    };
    for (const before of [{ patience: 4 }, undefined]) {
      const name = before === undefined ? "new" : "old";
      const section = (early: unknown, start: number, callbacks: unknown[] = []) =>
        told(values, early as never, { name, start, checkpoint: { directory }, callbacks });
      await trainOnce(section(before, 0, [stop]));
      const { summary } = await trainOnce(section({ patience: 4 }, 2));
      // 3 is the best; the count has seen 4 before the resume, or is new and takes 5 for the best.
      assert.equal(summary.finished, before === undefined ? "iterations" : "early-stopping");
      assert.equal(summary.iterations, before === undefined ? 12 : 10);
      assert.equal(summary.best!.value, 3);
    }
  });
});
