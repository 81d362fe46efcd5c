/** The loop stays reachable: the event loop gets its turns while a run trains, evaluates and predicts. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setImmediate } from "node:timers";
import { IterationRunner } from "../../mod.ts";
import { Lines, series, smallConfig } from "../support/runs.ts";
import { linearConfig, regression } from "./support.ts";

/** How many turns the event loop gets while `work` runs. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0, isOver = false;
  const turn = (): void => {
    if (isOver) return;
    turns++;
    setImmediate(turn);
  };
  setImmediate(turn);
  try {
    await work();
  } finally {
    isOver = true;
  }
  return turns;
}

/** A clock on which everything takes long, so that a turn is due after every pass. */
function slowClock(): { now(): number; wall(): number } {
  let ms = 0;
  return { now: () => ms += 100, wall: () => ms };
}

const works: [title: string, work: () => Promise<unknown>][] = [
  ["100 iterations", () => trainOf({ train: { iterations: 100, batchSize: 4 } })],
  [
    "an iteration of 100 leaves",
    () => trainOf({ train: { iterations: 1, batchSize: 1, accumulate: 100 } }, 100),
  ],
  ["a validation of 100 batches", () => evaluateOf("validation")],
  ["a test of 100 batches", () => evaluateOf("test")],
  ["a prediction of 100 batches", predictOf],
];

for (const [title, work] of works) {
  test(`the event loop gets a turn for every pass of ${title}`, async () => {
    const turns = await turnsDuring(work);
    assert.ok(turns >= 100, `${turns} turns`);
  });
}

test("a stop asked for by a timer ends a long run after the iteration", async () => {
  const run = await IterationRunner.create(
    linearConfig({
      train: { iterations: 30_000, batchSize: 4 },
      validation: false,
      test: false,
    }),
    { output: new Lines() },
  );
  setTimeout(() => run.stop("signal"), 50);
  const summary = await run.train();
  assert.equal(summary.finished, "signal");
  assert.ok(summary.iterations > 0 && summary.iterations < 30_000);
  run.dispose();
});

async function trainOf(overrides: Parameters<typeof linearConfig>[0], rows = 20): Promise<void> {
  const run = await IterationRunner.create(
    linearConfig({ validation: false, test: false, ...overrides }, { train: regression(rows) }),
    { output: new Lines(), clock: slowClock() },
  );
  await run.train();
  run.dispose();
}

async function evaluateOf(split: "validation" | "test"): Promise<void> {
  const run = await IterationRunner.create(
    linearConfig({ validation: { batchSize: 1 }, test: { batchSize: 1 } }, {
      [split]: regression(100),
    }),
    { output: new Lines(), clock: slowClock() },
  );
  await (split === "test" ? run.test() : run.validate());
  run.dispose();
}

async function predictOf(): Promise<void> {
  const run = await IterationRunner.create(
    smallConfig({
      model: { type: "NLinear", params: { inputLength: 12, outputLength: 4, channels: 2 } },
      data: {
        type: "ForecastingArray",
        params: { values: series(200), channels: 2, inputLength: 12, outputLength: 4 },
      },
      train: { iterations: 1, batchSize: 8 },
      validation: false,
      test: { batchSize: 1 },
    }),
    { output: new Lines(), clock: slowClock() },
  );
  const inputs = Array.from({ length: 100 }, () => Array.from({ length: 12 }, () => [1, 2]));
  (await run.predict(inputs)).prediction.dispose();
  run.dispose();
}
