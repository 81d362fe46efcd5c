/** The same bits for any number of workers. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertSame, forecast, type Left, runOf } from "./support.ts";

test("weightsSha256, metrics.jsonl and checkpoints are equal with 1, 2, 3 and 4 workers", async () => {
  const one = await runOf(forecast(1));
  for (const workers of [2, 3, 4]) {
    const several = await runOf(forecast(workers));
    assert.equal(several.summary.workers, workers);
    assertSame(one, several, `${workers} workers`);
  }
});

test("with deterministic, the weights are the same in every runtime", async () => {
  const { summary } = await runOf({ ...forecast(2), deterministic: true });
  assert.equal(
    summary.weightsSha256,
    "fc7a97977db056f2c2f5f52d71f2e795a2f2cd3688da198f7d084aeb364ba7b6",
  );
});

test("without dropout and batch statistics the loss does not depend on the shards", async () => {
  const losses: number[][] = [];
  for (const shards of [1, 2, 4]) {
    const config = forecast(1, { dropout: 0, norm: "layer" });
    const train = { ...config.train, iterations: 20, accumulate: 1 };
    losses.push(lossesOf(await runOf({ ...config, shards, train })));
  }
  assert.equal(losses[0].length, 20);
  for (const [i, loss] of losses[0].entries()) {
    for (const other of [losses[1][i], losses[2][i]]) {
      assert.ok(Math.abs(other - loss) <= 1e-5 * loss, `iteration ${i + 1}: ${other}, ${loss}`);
    }
  }
});

/** The training loss of every iteration. */
function lossesOf({ metrics }: Left): number[] {
  const records = metrics.trimEnd().split("\n").map((line) => JSON.parse(line));
  return records.filter(({ phase }) => phase === "train").map(({ loss }) => loss);
}
