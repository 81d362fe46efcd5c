/** Log, validation, test and checkpoint each at their own cadence; the best model; what the last iteration adds. */
import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IterationRunner, loadWeights, metrics, type RunConfig } from "../../mod.ts";
import { Lines, type Overrides, trainOnce, withFolder } from "../support/runs.ts";
import { linearConfig, observe, records, weightsOf } from "./support.ts";

const every = (interval: number, n: number) =>
  Array.from({ length: Math.floor(n / interval) }, (_, i) => interval * (i + 1));

test("every cadence is its own; log, validation and checkpoint also come at the last iteration", async () => {
  await withFolder(async (directory) => {
    await trainOnce(linearConfig({
      name: "run",
      train: { iterations: 11, batchSize: 4 },
      log: { interval: 2, progress: false, tensorboard: false },
      validation: { interval: 3 },
      test: { interval: 5 },
      checkpoint: { directory, interval: 4, keep: null },
    }));
    const lines = records(directory, "run");
    const at = (phase: string) =>
      lines.filter((line) => line.phase === phase).map(({ iteration }) => iteration);
    assert.deepEqual(at("train"), [...every(2, 11), 11]);
    assert.deepEqual(at("val"), [...every(3, 11), 11]);
    // The last one is the final test.
    assert.deepEqual(at("test"), [5, 10, 11]);
    const files = readdirSync(join(directory, "run", "checkpoints")).sort();
    assert.deepEqual(files, [
      "best-copy.safetensors",
      "best.safetensors",
      "latest",
      "step-00000004.safetensors",
      "step-00000008.safetensors",
      "step-00000011.safetensors",
    ]);
    assert.equal(
      readFileSync(join(directory, "run", "checkpoints", "latest"), "utf8").trim(),
      "step-00000011.safetensors",
    );
  });
});

test("a cadence that divides N makes no second record at N", async () => {
  const { watch } = await observe(linearConfig({
    train: { iterations: 6, batchSize: 4 },
    log: { interval: 3, progress: false },
    validation: { interval: 2 },
    test: { interval: 3 },
  }));
  assert.deepEqual(watch.records, [
    "val 2",
    "train 3",
    "test 3",
    "val 4",
    "train 6",
    "val 6",
    // The last weights are the best: the final test finds them on record.
    "test 6",
  ]);
});

const without: { title: string; overrides: Overrides; splits: object; phases: string[] }[] = [
  {
    title: "no validation",
    overrides: { validation: false },
    splits: {},
    phases: ["test", "train"],
  },
  { title: "no test", overrides: { test: false }, splits: {}, phases: ["train", "val"] },
  {
    title: "neither part in the data",
    overrides: { validation: undefined },
    splits: { validation: undefined, test: undefined },
    phases: ["train"],
  },
];

for (const { title, overrides, splits, phases } of without) {
  test(`a run saves, logs and ends with ${title}`, async () => {
    await withFolder(async (directory) => {
      const config = linearConfig({
        name: "run",
        checkpoint: { directory, interval: 5 },
        ...overrides,
      }, splits);
      const { summary } = await trainOnce(config);
      assert.equal(summary.iterations, 10);
      assert.equal(summary.test === undefined, !phases.includes("test"));
      assert.equal(summary.best === undefined, !phases.includes("val"));
      const seen = new Set(records(directory, "run").map(({ phase }) => phase));
      assert.deepEqual([...seen].sort(), phases);
      const again = await trainOnce(config);
      assert.equal(again.summary.weightsSha256, summary.weightsSha256);
    });
  });
}

test("train values are means over the items since the last record; the last is not lost", async () => {
  const each = await observe(linearConfig({
    train: { iterations: 7, batchSize: 8 },
    log: { interval: 1, progress: false },
  }));
  const grouped = await observe(linearConfig({
    train: { iterations: 7, batchSize: 8 },
    log: { interval: 4, progress: false },
  }));
  // 20 samples in batches of 8: sizes 8, 8, 4, 8, 8, 4, 8.
  const sizes = [8, 8, 4, 8, 8, 4, 8];
  for (const [first, last] of [[1, 4], [5, 7]]) {
    let sum = 0, count = 0, norms = 0;
    for (let i = first; i <= last; i++) {
      const values = each.watch.logged.train[i];
      sum += values.loss * sizes[i - 1];
      count += sizes[i - 1];
      norms += values.grad_norm;
    }
    const values = grouped.watch.logged.train[last];
    assert.ok(Math.abs(values.loss - sum / count) < 1e-6);
    assert.ok(Math.abs(values.grad_norm - norms / (last - first + 1)) < 1e-6);
    assert.equal(values.lr, 0.05);
  }
});

test("the final test takes the best weights and counts nothing of the tests before", async () => {
  await withFolder(async (directory) => {
    // The rate overshoots, so that every iteration is worse than the one before.
    const config: RunConfig = linearConfig({
      name: "run",
      optimizer: { type: "SGD", params: { lr: 3 } },
      train: { iterations: 6, batchSize: 20 },
      validation: { interval: 1 },
      test: { interval: 1 },
      checkpoint: { directory },
    });
    const run = await IterationRunner.create(config, { output: new Lines() });
    const summary = await run.train();
    const tests = records(directory, "run").filter(({ phase }) => phase === "test");
    const losses = tests.map(({ loss }) => loss as number);
    assert.equal(losses.length, 7);
    assert.equal(summary.best!.iteration, 1);
    assert.equal(summary.test!.loss, losses[0]);
    assert.equal(losses[6], losses[0]);
    // Two records at 6: of the weights of 6, and of those that the last one names.
    assert.deepEqual(
      tests.map(({ iteration, best_iteration }) => [iteration, best_iteration]),
      [...every(1, 6).map((i) => [i, undefined]), [6, 1]],
    );
    assert.ok(!("best_iteration" in summary.test!));
    for (let i = 1; i < 6; i++) assert.ok(losses[i] > losses[i - 1]);
    // best.safetensors holds the weights of iteration 1 under their plain names.
    const last = weightsOf(run);
    const file = join(directory, "run", "checkpoints", "best.safetensors");
    await loadWeights(file, run.model.parameters);
    assert.notDeepEqual(weightsOf(run), last);
    assert.equal((await run.validate()).loss, summary.best!.value);
    run.dispose();
  });
});

test("the records hold every tested set of weights once, however the run ends", async () => {
  const patience = { earlyStopping: { patience: 1 } };
  const rows: [lr: number, overrides: Overrides, tests: (number | undefined)[][]][] = [
    [0.05, {}, [[2], [4], [6]]],
    [0, {}, [[2], [4], [6], [6, 2]]],
    [0, patience, [[2], [4], [4, 2]]],
    [0.05, { earlyStopping: { stopping_threshold: 100 } }, [[2]]],
    [0.05, { validation: false }, [[2], [4], [6]]],
    [0.05, { test: { interval: 4 } }, [[4], [6]]],
  ];
  for (const [lr, overrides, tests] of rows) {
    await withFolder(async (directory) => {
      await trainOnce(linearConfig({
        name: "run",
        optimizer: { type: "SGD", params: { lr } },
        train: { iterations: 6, batchSize: 20 },
        validation: { interval: 2 },
        test: { interval: 2 },
        checkpoint: { directory },
        ...overrides,
      }));
      const found = records(directory, "run").filter(({ phase }) => phase === "test")
        .map((record) => [record.iteration, record.best_iteration]);
      assert.deepEqual(found, tests.map(([iteration, best]) => [iteration, best]));
    });
  }
});

test("the best model: strictly better, a tie keeps the earlier one", async () => {
  const { summary } = await observe(linearConfig({
    optimizer: { type: "SGD", params: { lr: 0 } },
    validation: { interval: 2 },
  }));
  assert.equal(summary.best!.iteration, 2);
  assert.equal(summary.best!.metric, "val/loss");
});

test("the best model: max is inferred for metrics of which more is better, mode overrides it", async () => {
  const rows: [string, "min" | "max" | undefined, "min" | "max"][] = [
    ["r2", undefined, "max"],
    ["val/corr", undefined, "max"],
    ["mae", undefined, "min"],
    ["val/loss", undefined, "min"],
    ["mae", "max", "max"],
  ];
  for (const [monitor, mode, expected] of rows) {
    const best = mode === undefined ? { monitor } : { monitor, mode };
    const { summary, watch } = await observe(linearConfig({
      best,
      metrics: ["mae", "r2", "corr"],
      optimizer: { type: "SGD", params: { lr: 3 } },
      train: { iterations: 4, batchSize: 20 },
      validation: { interval: 1 },
    }));
    const name = monitor.replace("val/", "");
    const values = Object.values(watch.logged.val).map((record) => record[name]);
    const wanted = expected === "max" ? Math.max(...values) : Math.min(...values);
    assert.equal(summary.best!.value, wanted);
    assert.equal(summary.best!.iteration, values.indexOf(wanted) + 1);
    assert.equal(summary.best!.metric, `val/${name}`);
  }
});

test("the best model: a validation value of NaN is never the best", async () => {
  const [mse] = metrics.buildMetrics(["mse"]);
  let calls = 0;
  const odd = {
    ...mse,
    name: "odd",
    finalize: (t: Float64Array) => ++calls < 3 ? NaN : mse.finalize(t),
  };
  const { summary, watch } = await observe(linearConfig({
    best: { monitor: "odd" },
    metrics: [odd],
    validation: { interval: 2, sanity: 0 },
    train: { iterations: 8, batchSize: 4 },
  }));
  const values = Object.values(watch.logged.val).map((record) => record.odd);
  assert.deepEqual(values.map(Number.isNaN), [true, true, false, false]);
  assert.ok(summary.best!.iteration >= 6);
  assert.equal(summary.best!.value, Math.min(values[2], values[3]));
});

test("best.monitor must be measured", async () => {
  await assert.rejects(
    IterationRunner.create(linearConfig({ best: { monitor: "val/maee" }, metrics: ["mae"] }), {
      output: new Lines(),
    }),
    {
      name: "ConfigError",
      message: /^best\.monitor: unknown validation value "val\/maee"; did you mean 'mae'\?/,
    },
  );
});
