import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import * as tf from "./tf.ts";

type Layer = ReturnType<typeof tf.layers.conv2d>;
type Options = { strides: number; padding: "valid" | "same"; dilationRate: number };
type Convolve = (x: tf.Tensor, weights: tf.Tensor[], options: Options) => tf.Tensor;

/** Layers, the spatial dimensions they take, and the operation that each stands for. */
const ROWS: readonly (readonly [name: string, rank: number, more: object, convolve: Convolve])[] = [
  [
    "conv1d",
    1,
    { filters: 4 },
    (x, [w], o) =>
      tf.conv1d(x as tf.Tensor3D, w as tf.Tensor3D, o.strides, o.padding, "NWC", o.dilationRate),
  ],
  [
    "conv2d",
    2,
    { filters: 4 },
    (x, [w], o) =>
      tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, o.strides, o.padding, "NHWC", o.dilationRate),
  ],
  [
    "conv3d",
    3,
    { filters: 4 },
    (x, [w], o) =>
      tf.conv3d(x as tf.Tensor5D, w as never, o.strides, o.padding, "NDHWC", o.dilationRate as 1),
  ],
  [
    "depthwiseConv2d",
    2,
    { depthMultiplier: 2 },
    (x, [w], o) =>
      tf.depthwiseConv2d(
        ...[x as tf.Tensor4D, w as tf.Tensor4D, o.strides, o.padding] as const,
        ...["NHWC", o.dilationRate] as const,
      ),
  ],
  [
    "separableConv2d",
    2,
    { filters: 4 },
    (x, [w, pointwise], o) =>
      tf.separableConv2d(
        ...[x as tf.Tensor4D, w as tf.Tensor4D, pointwise as tf.Tensor4D] as const,
        ...[o.strides, o.padding, o.dilationRate] as const,
      ),
  ],
];

const SETTINGS: readonly (readonly [strides: number, dilationRate: number])[] = [
  [1, 1],
  [2, 1],
  [1, 2],
];

for (const [name, rank, more, convolve] of ROWS) {
  test(`a ${name} layer computes what its settings say, with channels last and first`, async () => {
    await useBackend("cpu");
    const space = [9, 8, 7].slice(0, rank);
    const axes = space.map((_, axis) => axis);
    const toFirst = (x: tf.Tensor) => tf.transpose(x, [0, rank + 1, ...axes.map((i) => i + 1)]);
    const last = tf.randomUniform([2, ...space, 3], -1, 1, "float32", 7);
    for (const dataFormat of ["channelsLast", "channelsFirst"]) {
      const isFirst = dataFormat === "channelsFirst";
      const x = isFirst ? toFirst(last) : last;
      for (const padding of ["valid", "same"] as const) {
        for (const [strides, dilationRate] of SETTINGS) {
          const make = tf.layers[name as "conv2d"] as (options: object) => Layer;
          const settings = { strides, padding, dilationRate };
          const layer = make({
            ...{ ...more, ...settings, dataFormat, inputShape: x.shape.slice(1) },
            ...{ kernelSize: 3, biasInitializer: "randomNormal", activation: "relu" },
          });
          const model = tf.sequential({ layers: [layer] });
          const y = model.apply(x) as tf.Tensor;
          const weights = layer.getWeights();
          const bias = weights[weights.length - 1];
          const direct = tf.relu(tf.add(convolve(last, weights, settings), bias));
          const expected = isFirst ? toFirst(direct) : direct;
          const what = `${dataFormat}, ${JSON.stringify(settings)}`;
          assert.deepEqual(y.shape, expected.shape, what);
          assert.deepEqual(model.outputShape, [null, ...expected.shape.slice(1)], what);
          const values = await expected.data();
          assert.ok(values.some((value) => value > 0.1), what);
          (await y.data()).forEach((value, i) => {
            assert.ok(Math.abs(value - values[i]) < 1e-5, `${what}: ${value}, not ${values[i]}`);
          });
        }
      }
    }
  });
}

test("a transposed convolution layer refuses dilations, which it would ignore", () => {
  const options = { filters: 2, kernelSize: 3, dilationRate: 2, name: "up" };
  const refused = (received: string) => ({
    name: "ConfigError",
    message: "up: a transposed convolution has no dilations: dilationRate must be 1, " +
      `received ${received}`,
  });
  const flat = tf.layers.conv2dTranspose({ ...options, inputShape: [5, 5, 2] } as never);
  assert.throws(() => tf.sequential({ layers: [flat] }), refused("[2,2]"));
  const deep = tf.layers.conv3dTranspose({ ...options, inputShape: [5, 5, 5, 2] } as never);
  assert.throws(() => tf.sequential({ layers: [deep] }), refused("[2,2,2]"));
});
