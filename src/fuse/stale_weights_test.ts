import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { assertClose } from "../../test/support/close.ts";
import { buildOptimizer } from "../optim/builder.ts";
import * as tf from "../tensor/tf.ts";

// tfjs' wasm kernels pack the right operand of a product once and keep it.
for (const backend of ["cpu", "wasm"] as const) {
  test(`an update in place is seen by products and convolutions on ${backend}`, async () => {
    await useBackend(backend);
    const matrix = tf.variable(tf.ones([3, 4]));
    const filter = tf.variable(tf.ones([2, 2, 1, 3]));
    const x = tf.ones<tf.Rank.R2>([2, 3]);
    const image = tf.ones<tf.Rank.R4>([1, 4, 4, 1]);
    const results = () => [
      tf.matMul(x, matrix as tf.Tensor2D).dataSync()[0],
      tf.matMul(x, matrix as tf.Tensor2D, false, false).sum().dataSync()[0] / 8,
      tf.conv2d(image, filter as tf.Tensor4D, 1, "valid").dataSync()[0],
    ];
    assert.deepEqual(results(), [3, 3, 4]);
    const optimizer = buildOptimizer({ type: "SGD", params: { lr: 0.5 } }, { matrix, filter });
    for (let step = 1; step <= 3; step++) {
      optimizer.applyGradients({ matrix: tf.onesLike(matrix), filter: tf.onesLike(filter) });
      const w = 1 - 0.5 * step;
      assertClose(results(), [3 * w, 3 * w, 4 * w], 1e-6);
    }
  });
}
