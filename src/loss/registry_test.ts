import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import * as tf from "../tensor/tf.ts";
import { buildLoss, type LossConfig, mse, registerLoss } from "./losses.ts";

function run(config: LossConfig, p: number[] = [1, 4], t: number[] = [0, 1]): [number, number] {
  return tf.tidy(() => {
    const { sum, count } = buildLoss(config)(tf.tensor1d(p), tf.tensor1d(t));
    return [sum.dataSync()[0], typeof count === "number" ? count : count.dataSync()[0]];
  });
}

test("buildLoss takes names in every spelling, objects, losses and factories", async () => {
  await useBackend("cpu");
  const rows: [LossConfig, number, number][] = [
    ["mse", 10, 2],
    ["MSE", 10, 2],
    ["MSELoss", 10, 2],
    ["mse_loss", 10, 2],
    ["masked_mae", 4, 2],
    ["L1Loss", 4, 2],
    ["HuberLoss", 3, 2],
    [{ type: "huber", params: { delta: 2 } }, 4.5, 2],
    [{ TYPE: "SmoothL1Loss", PARAM: { beta: 0 } } as unknown as LossConfig, 4, 2],
    ["smooth_l1", 3, 2],
    [{ type: "mse", params: { null_value: 1 } }, 1, 1],
    [mse, 10, 2],
    [{ type: () => mse }, 10, 2],
    [() => mse, 10, 2],
  ];
  for (const [config, sum, count] of rows) assert.deepEqual(run(config), [sum, count]);
  assert.deepEqual(run({ type: "mae", params: { nullValue: "NaN" } }, [1, 4], [0, NaN]), [1, 1]);
  for (const name of ["crossEntropy", "cross_entropy", "CrossEntropy", "CrossEntropyLoss"]) {
    assert.equal(typeof buildLoss(name), "function");
  }
});

test("registerLoss adds losses that return { sum, count } or the mean over the samples", async () => {
  await useBackend("cpu");
  registerLoss("half_mse", () => (p, t) => tf.mul(tf.mean(tf.square(tf.sub(p, t))), 0.5));
  assert.deepEqual(run("halfMse"), [5, 2]);
  registerLoss("scaled", ({ factor }) => (p, t) => {
    return { sum: tf.mul(tf.sum(tf.sub(p, t)), factor as number), count: 7 };
  });
  assert.deepEqual(run({ type: "scaled", params: { factor: 3 } }), [12, 7]);
  assert.throws(() => run((p, t) => tf.sub(p, t)), /loss: must return .* tensor of shape \[2\]/);
});

test("buildLoss refuses what is no loss in one line", () => {
  const rows: [unknown, RegExp][] = [
    ["rmse", /^loss: "rmse" is not a sum over items.*use 'mse'/],
    ["masked_rmse", /use 'mse'/],
    ["r2", /^loss: "r2" is a metric/],
    ["Accuracy", /use 'crossEntropy'/],
    ["msee", /^loss: unknown loss "msee"; did you mean 'mse'\?/],
    [7, /^loss: must be a name, \{ type, params \} or a function, received 7$/],
    [{ type: "mse", param: {} }, /^loss.param: unknown option "param"; did you mean 'params'/],
    [{ type: 3 }, /^loss.type: must be a registered name \(.*\), received 3$/],
    [{ type: "mse", params: [] }, /^loss.params: must be an object/],
    [{ type: "mse", params: { delta: 1 } }, /^loss.params.delta: unknown option "delta" for mse/],
    [{ type: "huber", params: { delta: 0 } }, /^loss.params.delta: must be a number > 0/],
    [
      { type: "crossEntropy", params: { labelSmoothing: 1 } },
      /labelSmoothing: must be a number in/,
    ],
    [{ type: () => 3 }, /^loss: the factory must return a loss function, received 3$/],
  ];
  for (const [config, message] of rows) {
    assert.throws(() => buildLoss(config as LossConfig), { name: "ConfigError", message });
  }
});
