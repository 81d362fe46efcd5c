import { strict as assert } from "node:assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { mnist } from "../../examples/images/mnist.ts";
import { runExample } from "./run_example.ts";

const imports = [fileURLToPath(new URL("../../examples/images/mnist.ts", import.meta.url))];

test("the data set Mnist splits each digit and gives grey values in [0, 1]", async () => {
  const { train, validation, test, task } = mnist({ perDigit: 20 });
  assert.ok(train !== undefined && "gather" in train);
  assert.deepEqual([train.length, validation!.length, test!.length], [160, 20, 20]);
  assert.equal(task, "classification");
  const { inputs, targets } = await train.gather([0, 16, 159]);
  assert.deepEqual([...targets.data], [0, 1, 9]);
  assert.deepEqual(inputs.shape, [3, 28, 28, 1]);
  const pixels = inputs.data as Float32Array;
  const largest = pixels.reduce((a, b) => Math.max(a, b), 0);
  assert.ok(largest > 0.95 && largest <= 1, `${largest}`);
  // A one has less ink than a zero.
  const ink = (k: number) => pixels.subarray(784 * k, 784 * (k + 1)).reduce((a, b) => a + b);
  assert.ok(ink(1) < 0.7 * ink(0), `${ink(1)} ${ink(0)}`);
  const all = mnist();
  assert.equal([all.train, all.validation, all.test].reduce((n, d) => n + lengthOf(d), 0), 10_000);
});

test("examples/images/mlp.json learns digits on wasm", async () => {
  const { summary, losses } = await runExample("images/mlp.json", {
    "train.iterations": 60,
    "validation.limitBatches": 2,
    "test.limitBatches": 2,
  }, imports);
  assert.ok(Math.abs(losses[0] - Math.log(10)) < 0.3, `the first loss is ${losses[0]}`);
  // 0.92 after all 600 iterations.
  assert.ok(summary.test!.accuracy > 0.75, `accuracy ${summary.test!.accuracy}`);
  assert.equal(summary.best!.metric, "val/accuracy");
});

test("examples/images/cnn.json learns digits on wasm", async () => {
  const { summary, losses } = await runExample("images/cnn.json", {
    "train.iterations": 60,
    "validation.limitBatches": 2,
    "test.limitBatches": 2,
  }, imports);
  assert.equal(summary.backend, "wasm");
  assert.ok(Math.abs(losses[0] - Math.log(10)) < 0.5, `the first loss is ${losses[0]}`);
  // 0.96 after all 600 iterations.
  assert.ok(summary.test!.accuracy > 0.8, `accuracy ${summary.test!.accuracy}`);
});

function lengthOf(data: object | undefined): number {
  return (data as { length: number }).length;
}
