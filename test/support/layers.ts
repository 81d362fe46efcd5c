/** Models of tfjs-layers, trained on wasm as on the cpu backend. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "./backend.ts";
import { noise, useKernels } from "./kernels.ts";

/** A layer of tfjs-layers. */
export type Layer = ReturnType<typeof tf.layers.dense>;

/**
 * A family's name, how to make its layers (the first with its input shape) or its model, and what
 * the model reads instead of the noise between -1 and 1 that is given.
 */
export type Family = readonly [
  name: string,
  make: () => readonly unknown[] | tf.LayersModel,
  inputs?: (x: tf.Tensor) => tf.Tensor,
];

interface Outcome {
  readonly names: string[];
  readonly gradients: ArrayLike<number>[];
  readonly loss: number;
}

const BATCH = 4;

/**
 * A test for each family: the first gradients equal those of the cpu backend within 1e-4 of each
 * parameter's largest, and the loss after 30 steps of `fit` within 1e-3.
 */
export function testFamilies(families: readonly Family[]): void {
  for (const family of families) {
    test(`${family[0]} trains on wasm as on the cpu backend`, async () => {
      await useBackend("cpu");
      const cpu = await trained(family);
      await useKernels();
      const wasm = await trained(family);
      cpu.gradients.forEach((expected, i) => {
        const largest = Math.max(...Array.from(expected, Math.abs));
        assert.ok(largest > 1e-6, `the gradient of ${cpu.names[i]} is zero`);
        assert.equal(wasm.gradients[i].length, expected.length);
        Array.from(expected).forEach((value, at) => {
          const actual = wasm.gradients[i][at];
          const error = Math.abs(actual - value);
          assert.ok(error <= 1e-4 * largest, `${cpu.names[i]}[${at}]: ${actual}, cpu ${value}`);
        });
      });
      // A loss near zero is the square of rounding errors.
      const error = Math.abs(wasm.loss - cpu.loss);
      assert.ok(error <= 1e-3 * cpu.loss + 1e-9, `loss ${wasm.loss}, cpu ${cpu.loss}`);
    });
  }
}

/** The first gradients, and the loss after 30 steps of `fit`. */
async function trained([, make, inputs = (x) => x]: Family): Promise<Outcome> {
  const made = make();
  const model = Array.isArray(made) ? withHead(made as Layer[]) : made as tf.LayersModel;
  const values = (shape: readonly (number | null)[], seed: number): tf.Tensor => {
    const known = shape.map((size) => size ?? BATCH);
    return tf.tensor(noise(tf.util.sizeFromShape(known), seed), known);
  };
  model.setWeights(model.weights.map(({ shape }, i) => tf.div(values(shape, i), 2)));
  const x = inputs(values(model.inputs[0].shape, 20));
  const y = values(model.outputs[0].shape, 21);
  const random = Math.random;
  try {
    // Noise and dropout layers seed their generators from it.
    let state = 1;
    Math.random = () => (state = state * 16807 % 2147483647) / 2147483647;
    const { grads } = tf.variableGrads(() =>
      tf.losses.meanSquaredError(y, model.apply(x, { training: true }) as tf.Tensor) as tf.Scalar
    );
    const gradients = await Promise.all(Object.values(grads).map((gradient) => gradient.data()));
    model.compile({ optimizer: tf.train.sgd(0.02), loss: "meanSquaredError" });
    const { history } = await model.fit(x, y, {
      ...{ epochs: 31, batchSize: BATCH, shuffle: false, verbose: 0 },
    });
    return { names: Object.keys(grads), gradients, loss: history.loss[30] as number };
  } finally {
    Math.random = random;
  }
}

/** The layers, and a dense layer of two outputs. */
function withHead(layers: Layer[]): tf.LayersModel {
  const model = tf.sequential({ layers });
  if (model.outputShape.length > 2) model.add(tf.layers.flatten());
  model.add(tf.layers.dense({ units: 2 }));
  return model;
}
