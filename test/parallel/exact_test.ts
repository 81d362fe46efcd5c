/** The same bits for any number of workers. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { RunConfig } from "../../mod.ts";
import { series, smallConfig } from "../support/runs.ts";
import { assertSame, filed, runOf } from "./support.ts";

/** A masked forecast with batch statistics, dropout, clipping and accumulation, validated meanwhile. */
function forecast(workers: number, more: Partial<RunConfig> = {}): RunConfig {
  return smallConfig({
    ...filed,
    backend: "wasm",
    shards: 4,
    workers,
    model: {
      type: "PatchTST",
      params: {
        inputLength: 24,
        outputLength: 4,
        channels: 2,
        patchLength: 8,
        stride: 4,
        width: 8,
        heads: 2,
        feedForward: 16,
        layers: 2,
        norm: "batch",
        dropout: 0.3,
      },
    },
    data: {
      type: "ForecastingArray",
      params: { values: series(160, 80), channels: 2, inputLength: 24, outputLength: 4 },
    },
    train: { iterations: 6, batchSize: 8, accumulate: 2, clipGrad: { maxNorm: 0.5 } },
    validation: { interval: 2 },
    ...more,
  });
}

test("weightsSha256, metrics.jsonl and checkpoints are equal with 1, 2, 3 and 4 workers", async () => {
  const one = await runOf(forecast(1));
  for (const workers of [2, 3, 4]) {
    const several = await runOf(forecast(workers));
    assert.equal(several.summary.workers, workers);
    assertSame(one, several, `${workers} workers`);
  }
});
