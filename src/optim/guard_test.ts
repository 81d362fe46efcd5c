import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { number, object } from "../core/options.ts";
import * as tf from "../tensor/tf.ts";
import { buildOptimizer } from "./builder.ts";
import type { Optimizer } from "./optimizer.ts";
import { registerOptimizer } from "./registry.ts";
import type { OptimizerRule } from "./rule.ts";

const configs = [
  { type: "SGD", params: { lr: 0.1, momentum: 0.9, dampening: 0.5 } },
  { type: "AdamW", params: { lr: 0.1 } },
];

async function stateOf(optimizer: Optimizer, weight: tf.Variable): Promise<unknown[]> {
  const { tensors, meta } = optimizer.exportState();
  const values: unknown[] = [meta.iterations, meta.numbers, Object.keys(tensors)];
  for (const tensor of [weight, ...Object.values(tensors)]) values.push([...await tensor.data()]);
  return values;
}

for (const backend of ["cpu", "wasm"] as const) {
  test(`Optimizer: an update whose guard is not finite leaves no trace on ${backend}`, async () => {
    await useBackend(backend);
    for (const config of configs) {
      const results: unknown[] = [];
      for (const guards of [[1, 1, 1], [NaN, 1, Infinity, 1, -Infinity, 1, NaN]]) {
        const weight = tf.variable(tf.tensor([1, -2]));
        const optimizer = buildOptimizer(config, { weight });
        guards.forEach((value) => {
          const guard = tf.tensor([0.5, value]);
          const gradient = tf.tensor([0.5, 2]);
          optimizer.applyGradients({ weight: gradient }, { guard });
          optimizer.settle(Number.isFinite(value));
          tf.dispose([guard, gradient]);
        });
        results.push(await stateOf(optimizer, weight));
        optimizer.dispose();
        weight.dispose();
      }
      assert.deepEqual(results[1], results[0], config.type);
    }
  });
}

test("Optimizer.applyGradients() refuses a guard that a rule does not obey", async () => {
  await useBackend("cpu");
  const options = object({ lr: number().default(1) });
  const rule: OptimizerRule = { name: "Unguarded", options, slots: {}, step() {} };
  registerOptimizer("Unguarded", rule);
  const weight = tf.variable(tf.tensor([1]));
  const optimizer = buildOptimizer({ type: "Unguarded", params: {} }, { weight });
  assert.equal(optimizer.obeysGuards, false);
  const guard = tf.tensor([1]);
  assert.throws(
    () => optimizer.applyGradients({ weight: guard }, { guard }),
    /guard: is not obeyed by every type of this optimizer/,
  );
});
