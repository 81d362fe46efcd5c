import { strict as assert } from "node:assert";
import { test } from "node:test";
import { IterationRunner } from "../../mod.ts";
import { Lines, series, smallConfig, trainOnce, withFolder } from "../support/runs.ts";

/** The small run on `values`, in a directory. */
function config(values: Float32Array, directory: string) {
  return smallConfig({
    name: "waves",
    data: {
      type: "ForecastingArray",
      // As a file of the same name would: the config does not tell the contents apart.
      params: { values: [...values], channels: 2, inputLength: 12, outputLength: 4 },
    },
    checkpoint: { directory },
  });
}

test("a run refuses to resume or test on other contents, and names the first difference", async () => {
  await withFolder(async (directory) => {
    await trainOnce(config(series(160), directory));
    const changed = series(160);
    changed[5] += 100;
    const run = await IterationRunner.create(config(changed, directory), { output: new Lines() });
    for (const call of [() => run.train(), () => run.test(), () => run.restore()]) {
      await assert.rejects(call(), { name: "CheckpointError", message: /^(?!.*\n).* was .* is / });
    }
    run.dispose();
  });
});

test("a part whose every cell is missing is refused in one line", async () => {
  const values = series(160).fill(NaN, 0, 224);
  await assert.rejects(
    IterationRunner.create(config(values, "unused"), { output: new Lines() }),
    {
      name: "DataError",
      message: "values: the training part must have at least one observed value",
    },
  );
});
