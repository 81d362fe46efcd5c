import { strict as assert } from "node:assert";
import { test } from "node:test";
import { backends } from "../../test/support/kernels.ts";
import * as tf from "./tf.ts";

/** Of ones [3, 3]: where a padding of 1 puts 1, 2 or 4 inputs into a window of 2 x 2. */
const CORNERS = [2.25, 1.5, 2.25, 1.5, 1, 1.5, 2.25, 1.5, 2.25];

const ROWS: readonly (readonly [string, number[], (x: tf.Tensor) => tf.Tensor, number[]])[] = [
  ["avgPool", [1, 3, 3, 1], (x) => tf.avgPool(x as tf.Tensor4D, 2, 1, 1), CORNERS],
  ["avgPool without a batch", [3, 3, 1], (x) => tf.avgPool(x as tf.Tensor3D, 2, 1, 1), CORNERS],
  ["pool", [1, 3, 3, 1], (x) => tf.pool(x as tf.Tensor4D, 2, "avg", 1, 1, 1), CORNERS],
  [
    "avgPool, explicit",
    [1, 2, 3, 1],
    (x) => tf.avgPool(x as tf.Tensor4D, [1, 2], 1, [[0, 0], [0, 0], [1, 0], [0, 0]]),
    [1.5, 1, 0.5, 1.5, 1, 0.5],
  ],
  [
    "avgPool3d",
    [1, 1, 3, 3, 1],
    (x) => tf.avgPool3d(x as tf.Tensor5D, [2, 2, 2], 1, 1),
    CORNERS.map((slope) => 2 * slope),
  ],
];

for (const [backend, use] of backends.filter(([name]) => name !== "wasm")) {
  test(`the gradient of an average is shared by the inputs inside of the image, ${backend}`, async () => {
    await use();
    for (const [name, shape, op, expected] of ROWS) {
      const x = tf.ones(shape);
      (await op(x).data()).forEach((value) => assert.equal(value, 1, name));
      const gradient = await tf.grad((x) => op(x))(x).data();
      assert.deepEqual([...gradient], expected, name);
    }
  });
}
