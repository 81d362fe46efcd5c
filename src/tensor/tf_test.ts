import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import * as tf from "./tf.ts";

await useBackend("cpu");

test("tf has the gradient of a convolution: d/dw sum(conv(x, w)) sums the windows of x", async () => {
  const x = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1]);
  const w = tf.tensor4d([0.5, -1, 2, 0.25], [2, 2, 1, 1]);
  const grad = tf.grad((w: tf.Tensor) => tf.sum(tf.conv2d(x, w as tf.Tensor4D, 1, "valid")))(w);
  assert.deepEqual([...await grad.data()], [12, 16, 24, 28]);
});

test("tf trains an LSTM layer: each gradient equals the slope of the loss", async () => {
  // The recurrent weights come from the orthogonal initializer, which calls the chained op flatten.
  const layer = tf.layers.lstm({
    units: 2,
    inputShape: [3, 2],
    kernelInitializer: tf.initializers.glorotNormal({ seed: 1 }),
    recurrentInitializer: tf.initializers.orthogonal({ seed: 2 }),
  });
  const model = tf.sequential({ layers: [layer] });
  const x = tf.tensor3d([0.5, -1, 0.25, 0.75, -0.5, 1], [1, 3, 2]);
  const loss = () => tf.sum(tf.square(model.apply(x) as tf.Tensor)) as tf.Scalar;
  const { grads } = tf.variableGrads(loss);
  assert.equal(Object.keys(grads).length, 3);
  const step = 1e-2;
  for (const weight of model.trainableWeights) {
    const variable = (weight as unknown as { val: tf.Variable }).val;
    const values = await variable.data();
    const grad = await grads[variable.name].data();
    for (const index of [0, values.length - 1]) {
      const at = async (shift: number) => {
        variable.assign(
          tf.tensor(values.map((v, i) => i === index ? v + shift : v), variable.shape),
        );
        return (await loss().data())[0];
      };
      const slope = (await at(step) - await at(-step)) / (2 * step);
      assert.ok(Math.abs(slope - grad[index]) < 1e-3, `${weight.name}: ${slope} ${grad[index]}`);
      variable.assign(tf.tensor(values, variable.shape));
    }
  }
});
