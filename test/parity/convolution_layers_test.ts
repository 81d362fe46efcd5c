/** Layers of tfjs-layers with convolutions and poolings, trained on wasm as on the cpu backend. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { noise, useKernels } from "../support/kernels.ts";

type Layer = ReturnType<typeof tf.layers.dense>;
type Options = Parameters<typeof tf.layers.conv2d>[0];

const image = { inputShape: [9, 8, 2] };
const base = { filters: 3, kernelSize: 3, activation: "relu" as const };
const cube = { inputShape: [5, 6, 5, 2] };

/** A family's name, and its layers, the first with its input shape. */
const FAMILIES: readonly (readonly [string, () => unknown[]])[] = [
  ["conv1d", () => [tf.layers.conv1d({ ...base, inputShape: [12, 3], strides: 2 })]],
  ["conv1d, dilated", () => [
    tf.layers.conv1d({ ...base, inputShape: [12, 3], padding: "same", dilationRate: 3 }),
  ]],
  ["conv2d", () => [
    tf.layers.conv2d({ ...base, ...image, padding: "same" }),
    tf.layers.conv2d({ ...base, strides: 2, activation: "tanh" }),
  ]],
  ["conv2d, dilated", () => [
    tf.layers.conv2d({ ...base, ...image, dilationRate: 2, activation: undefined }),
    tf.layers.conv2d({ ...base, dilationRate: [2, 1], activation: "sigmoid", useBias: false }),
  ]],
  ["conv2d, channels first", () => [
    tf.layers.conv2d({ ...base, inputShape: [2, 9, 8], dataFormat: "channelsFirst" }),
  ]],
  ["conv2dTranspose", () => [
    tf.layers.conv2dTranspose({ ...base, ...image, strides: 2, padding: "same" } as Options),
  ]],
  ["conv3d", () => [tf.layers.conv3d({ ...base, ...cube, strides: 2 })]],
  [
    "conv3dTranspose",
    () => [tf.layers.conv3dTranspose({ ...base, ...cube, strides: 2 } as Options)],
  ],
  ["depthwiseConv2d", () => [
    tf.layers.depthwiseConv2d({ ...image, kernelSize: 3, depthMultiplier: 2, activation: "relu" }),
  ]],
  ["separableConv2d, dilated", () => [
    tf.layers.separableConv2d({ ...base, ...image, padding: "same", dilationRate: 2 }),
  ]],
  ["separableConv2d", () => [tf.layers.separableConv2d({ ...base, ...image, padding: "same" })]],
  ["maxPooling2d", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.maxPooling2d({ poolSize: 2 }),
  ]],
  ["averagePooling2d, same", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.averagePooling2d({ poolSize: 3, strides: 2, padding: "same" }),
  ]],
  ["maxPooling1d and averagePooling1d", () => [
    tf.layers.conv1d({ ...base, inputShape: [16, 3] }),
    tf.layers.maxPooling1d({ poolSize: 2 }),
    tf.layers.averagePooling1d({ poolSize: 2, padding: "same" }),
  ]],
  ["maxPooling3d and averagePooling3d", () => [
    tf.layers.conv3d({ ...base, ...cube, padding: "same" }),
    tf.layers.maxPooling3d(
      { poolSize: 2, strides: 1 } as Parameters<typeof tf.layers.maxPooling3d>[0],
    ),
    tf.layers.averagePooling3d(
      { poolSize: 2, padding: "same" } as Parameters<
        typeof tf.layers.averagePooling3d
      >[0],
    ),
  ]],
  ["globalAveragePooling2d", () => [
    tf.layers.conv2d({ ...base, ...image }),
    tf.layers.globalAveragePooling2d({}),
  ]],
];

interface Outcome {
  readonly gradients: ArrayLike<number>[];
  readonly loss: number;
}

/** The first gradients, and the loss after 30 steps of `fit`. */
async function trained(layers: unknown[]): Promise<Outcome> {
  const model = tf.sequential({ layers: layers as Layer[] });
  if (model.outputShape.length > 2) model.add(tf.layers.flatten());
  model.add(tf.layers.dense({ units: 2 }));
  const values = (shape: readonly (number | null)[], seed: number): tf.Tensor => {
    const known = shape.map((size) => size ?? 4);
    return tf.tensor(noise(tf.util.sizeFromShape(known), seed), known);
  };
  model.setWeights(model.weights.map(({ shape }, i) => tf.div(values(shape, i), 2)));
  const x = values(model.inputs[0].shape, 20);
  const y = values([4, 2], 21);
  const { grads } = tf.variableGrads(() =>
    tf.losses.meanSquaredError(y, model.apply(x, { training: true }) as tf.Tensor) as tf.Scalar
  );
  const gradients = await Promise.all(Object.values(grads).map((gradient) => gradient.data()));
  model.compile({ optimizer: tf.train.sgd(0.02), loss: "meanSquaredError" });
  const { history } = await model.fit(x, y, { epochs: 31, batchSize: 4, verbose: 0 });
  return { gradients, loss: history.loss[30] as number };
}

for (const [family, layers] of FAMILIES) {
  test(`${family} trains on wasm as on the cpu backend`, async () => {
    await useBackend("cpu");
    const cpu = await trained(layers());
    await useKernels();
    const wasm = await trained(layers());
    cpu.gradients.forEach((expected, i) => {
      const largest = Math.max(...Array.from(expected, Math.abs));
      assert.ok(largest > 1e-6, `gradient ${i} is zero`);
      Array.from(expected).forEach((value, at) => {
        const error = Math.abs(wasm.gradients[i][at] - value);
        assert.ok(
          error <= 1e-4 * largest,
          `gradient ${i}[${at}]: ${wasm.gradients[i][at]} ${value}`,
        );
      });
    });
    assert.ok(Math.abs(wasm.loss - cpu.loss) <= 1e-3 * cpu.loss, `${wasm.loss} ${cpu.loss}`);
  });
}
