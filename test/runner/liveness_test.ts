/** The loop stays reachable: timers run while it trains and evaluates. The bounds are loose, speed is not at stake. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { IterationRunner } from "../../mod.ts";
import { Lines, series, smallConfig } from "../support/runs.ts";
import { linear, linearConfig, regression } from "./support.ts";

/** The longest time between two turns of the event loop while `work` runs, in ms, and their number. */
async function longestSilence(work: () => Promise<unknown>): Promise<[number, number]> {
  let last = performance.now(), longest = 0, turns = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    turns++;
  }, 5);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return [Math.max(longest, performance.now() - last), turns];
}

/** Keeps the machine busy for a time without giving way. */
function busy(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

const slow = linear((y) => {
  busy(3);
  return y;
});

const works: [string, () => Promise<unknown>][] = [
  ["iterations", () => trainOf({ train: { iterations: 100, batchSize: 4 } })],
  [
    "an iteration of many leaves",
    () => trainOf({ train: { iterations: 1, batchSize: 1, accumulate: 100 } }, 100),
  ],
  ["a validation", () => evaluateOf("validation")],
  ["a test", () => evaluateOf("test")],
];

for (const [title, work] of works) {
  test(`timers run during ${title}`, async () => {
    // 100 passes of 3 ms.
    const [longest, turns] = await longestSilence(work);
    assert.ok(longest < 500, `nothing ran for ${longest} ms`);
    assert.ok(turns >= 3, `${turns} turns`);
  });
}

test("timers run during predict and the evaluation of naive forecasts", async () => {
  const run = await IterationRunner.create(
    smallConfig({
      model: {
        type: "NLinear",
        params: { inputLength: 12, outputLength: 4, channels: 2 },
      },
      data: {
        type: "ForecastingArray",
        params: { values: series(900), channels: 2, inputLength: 12, outputLength: 4 },
      },
      train: { iterations: 1, batchSize: 8 },
      validation: false,
      test: { batchSize: 1 },
    }),
    { output: new Lines() },
  );
  const [longest] = await longestSilence(async () => {
    await run.train();
    const inputs = Array.from({ length: 200 }, () => Array.from({ length: 12 }, () => [1, 2]));
    (await run.predict(inputs)).prediction.dispose();
  });
  assert.ok(longest < 500, `nothing ran for ${longest} ms`);
  run.dispose();
});

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
    linearConfig({ model: { type: slow }, validation: false, test: false, ...overrides }, {
      train: regression(rows),
    }),
    { output: new Lines() },
  );
  await run.train();
  run.dispose();
}

async function evaluateOf(split: "validation" | "test"): Promise<void> {
  const run = await IterationRunner.create(
    linearConfig({ model: { type: slow }, validation: { batchSize: 1 }, test: { batchSize: 1 } }, {
      [split]: regression(100),
    }),
    { output: new Lines() },
  );
  await (split === "test" ? run.test() : run.validate());
  run.dispose();
}
