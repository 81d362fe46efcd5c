import { strict as assert } from "node:assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { train } from "../../examples/custom_loop/train.ts";
import { tf } from "../../mod.ts";
import { useBackend } from "../support/backend.ts";
import { runExample } from "./run_example.ts";

const model = fileURLToPath(
  new URL("../../examples/custom_model/seasonal_linear.ts", import.meta.url),
);

test("examples/custom_model trains the model that --import brings", async () => {
  await useBackend("wasm");
  const tensors = tf.memory().numTensors;
  const { summary } = await runExample("custom_model/seattle.json", {
    "train.iterations": 100,
    "test.limitBatches": 4,
  }, [model]);
  assert.equal(summary.iterations, 100);
  // It starts near the value a season ago, which is the seasonal naive forecast.
  const { seasonal } = summary.naive!;
  assert.ok(summary.test!.mse < 0.85 * seasonal.mse, `${summary.test!.mse} ${seasonal.mse}`);
  assert.equal(tf.memory().numTensors, tensors);
});

test("examples/custom_loop has a falling loss and leaves no tensor behind", async () => {
  await useBackend("wasm");
  const tensors = tf.memory().numTensors;
  const lines: string[] = [];
  const losses = await train(60, (line) => lines.push(line));
  assert.equal(losses.length, 60);
  assert.ok(losses[59] < 0.05 * losses[0], `${losses[0]} ${losses[59]}`);
  assert.match(lines[0], /^step 0 {2}loss 0\.\d{5} {2}gradient norm \d/);
  assert.equal(lines.length, 4);
  assert.equal(tf.memory().numTensors, tensors);
});
