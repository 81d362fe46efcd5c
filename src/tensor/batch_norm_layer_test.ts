import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import * as tf from "./tf.ts";

const ROWS: readonly (readonly [shape: number[], axis: number])[] = [
  [[2, 3, 4, 2, 5], -1],
  [[2, 3, 4, 2, 5], 1],
  [[2, 3, 4, 5], 1],
  [[2, 3, 4, 5], -2],
  [[4, 3, 5], 1],
];

test("a BatchNormalization layer normalizes its axis, while training and after", async () => {
  await useBackend("cpu");
  for (const [shape, axis] of ROWS) {
    const x = tf.randomNormal(shape, 3, 2, "float32", 1);
    const layer = tf.layers.batchNormalization({ axis, momentum: 0, epsilon: 0 });
    const along = axis < 0 ? axis + x.rank : axis;
    const others = shape.map((_, i) => i).filter((i) => i !== along);
    const { mean, variance } = tf.moments(x, others, true);
    const expected = await tf.div(tf.sub(x, mean), tf.sqrt(variance)).data();
    // With momentum 0 the averages after one step are that step's.
    for (const training of [true, false]) {
      const y = layer.apply(x, { training }) as tf.Tensor;
      assert.deepEqual(y.shape, x.shape);
      (await y.data()).forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-4));
    }
    assert.equal(layer.getConfig().axis, axis);
  }
});

test("batchNorm takes statistics of any axes", async () => {
  await useBackend("cpu");
  const x = tf.randomNormal([2, 3, 4, 2], 3, 2, "float32", 1);
  const { mean, variance } = tf.moments(x, [0, 2, 3], true);
  const [offset, scale] = [1, 2].map((n) => tf.fill([1, 3, 1, 1], n));
  const y = tf.batchNorm(x, mean, variance, offset, scale, 0);
  const expected = await tf.add(tf.mul(tf.div(tf.sub(x, mean), tf.sqrt(variance)), 2), 1).data();
  for (const actual of [y, x.batchNorm(mean, variance, offset, scale, 0)]) {
    (await actual.data()).forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-5));
  }
});

test("a BatchNormalization layer trains without scale and center, and has no weights for them", async () => {
  await useBackend("cpu");
  const layer = tf.layers.batchNormalization({ scale: false, center: false, epsilon: 0 });
  const y = layer.apply(tf.tensor2d([[1], [3]]), { training: true }) as tf.Tensor;
  assert.deepEqual([...await y.data()], [-1, 1]);
  assert.deepEqual(layer.trainableWeights, []);
});
