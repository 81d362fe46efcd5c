import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runtime } from "../../src/core/host.ts";
import { root } from "../support/root.ts";
import { findEtth1, runExample } from "./run_example.ts";

const folder = join(root, "examples", "forecasting");

for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
  test(`examples/forecasting/${file} fits one batch`, async () => {
    const config = JSON.parse(readFileSync(join(folder, file), "utf8"));
    const settings: Record<string, unknown> = {
      "train.iterations": 10,
      "train.batchSize": 8,
      "train.overfitBatches": 1,
      "validation.batchSize": 8,
      "test.batchSize": 8,
    };
    if (config.data.params.path === "ETTh1.csv") {
      const path = findEtth1(existsSync);
      if (path === undefined) return;
      settings["data.params.path"] = path;
    }
    const { summary, losses, lines } = await runExample(`forecasting/${file}`, settings);
    assert.equal(summary.iterations, 10);
    assert.equal(losses.length, 10);
    assert.ok(losses[9] < losses[0], `${losses}`);
    assert.ok(summary.best!.value > 0 && summary.best!.value <= losses[0], `${lines}`);
    assert.ok(summary.test!.mse > 0 && summary.test!.mse < 5, `${summary.test!.mse}`);
    const naive = config.data.params.season === undefined ? undefined : ["last", "seasonal"];
    assert.deepEqual(summary.naive && Object.keys(summary.naive), naive);
  });
}

test("examples/forecasting/etth1_dlinear.json reaches the published numbers", {
  skip: runtime !== "deno" && "runs under Deno only",
}, async () => {
  const path = findEtth1(existsSync);
  if (path === undefined) return;
  const { summary } = await runExample("forecasting/etth1_dlinear.json", {
    "data.params.path": path,
    "log.interval": 50,
    "validation.limitBatches": 100,
    "test.limitBatches": 100,
  });
  // 0.375 and 0.399 in Zeng et al. (AAAI 2023), in scaled space over all 2,785 windows.
  assert.ok(summary.test!.mse <= 0.385, `mse ${summary.test!.mse}`);
  assert.ok(summary.test!.mae <= 0.405, `mae ${summary.test!.mae}`);
  assert.ok(summary.test!.mse < summary.naive!.seasonal.mse);
});
