import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertNear, type FixtureArray, tensorOf } from "../../test/support/arrays.ts";
import { useBackend } from "../../test/support/backend.ts";
import { readFixture } from "../../test/support/fixture.ts";
import { useKernels } from "../../test/support/kernels.ts";
import * as tf from "./tf.ts";

interface Case {
  readonly op: string;
  readonly options: {
    readonly strides?: number[];
    readonly dilations?: number[] | number;
    readonly pad?: "same";
    readonly filterSize?: number[];
    readonly outputShape?: number[];
  };
  readonly arguments: Readonly<Record<string, FixtureArray>>;
  readonly coefficients: FixtureArray;
  readonly output: FixtureArray;
  readonly gradients: Readonly<Record<string, FixtureArray>>;
}

const { cases } = readFixture<{ cases: Case[] }>("convolutions.json");

type Pair = [number, number];
type Triple = [number, number, number];

/** The operation of a case on its arguments. */
function compute({ op, options }: Case, [x, w]: tf.Tensor[]): tf.Tensor {
  const { strides, dilations, pad = "valid", filterSize, outputShape } = options;
  const [x4, w4] = [x as tf.Tensor4D, w as tf.Tensor4D];
  const [x5, w5] = [x as tf.Tensor5D, w as tf.Tensor5D];
  const [pair, triple] = [(strides ?? [1, 1]) as Pair, (strides ?? [1, 1, 1]) as Triple];
  const apart = (dilations ?? [1, 1]) as Pair;
  switch (op) {
    case "conv1d":
      return tf.conv1d(x as tf.Tensor3D, w as tf.Tensor3D, 1, pad, "NWC", dilations as number);
    case "conv2d":
      return tf.conv2d(x4, w4, pair, pad, "NHWC", apart);
    case "conv2dTranspose":
      return tf.conv2dTranspose(x4, w4, outputShape as [number, number, number, number], pair, pad);
    case "conv3d":
      return tf.conv3d(x5, w5, triple, pad, "NDHWC", (dilations ?? [1, 1, 1]) as Triple);
    case "conv3dTranspose": {
      const shape = outputShape as [number, number, number, number, number];
      return tf.conv3dTranspose(x5, w5, shape, triple, pad);
    }
    case "depthwiseConv2d":
      return tf.depthwiseConv2d(x4, w4, pair, pad, "NHWC", apart);
    case "avgPool":
      return tf.avgPool(x4, filterSize as Pair, pair, pad);
    case "avgPool3d":
      return tf.avgPool3d(x5, filterSize as Triple, triple, pad);
    case "maxPool":
      return tf.maxPool(x4, filterSize as Pair, pair, pad);
    default:
      throw new Error(op);
  }
}

const BACKENDS: readonly (readonly [string, () => Promise<void>])[] = [
  ["cpu", () => useBackend("cpu")],
  ["wasm", () => useKernels()],
];

for (const [backend, use] of BACKENDS) {
  for (const item of cases) {
    const title = `${item.op} ${JSON.stringify(item.options)}`;
    test(`${title} and its gradients equal torch on ${backend}`, async () => {
      await use();
      const inputs = Object.values(item.arguments).map(tensorOf);
      await assertNear(compute(item, inputs), item.output, 1e-6, "output");
      const gradients = tf.grads((...x: tf.Tensor[]) => compute(item, x))(
        inputs,
        tensorOf(item.coefficients),
      );
      for (const [i, [name, expected]] of Object.entries(item.gradients).entries()) {
        await assertNear(gradients[i], expected, 2e-6, `gradient of ${name}`);
      }
    });
  }

  test(`the gradients of a convolution with channels first equal those with them last on ${backend}`, async () => {
    await use();
    const item = cases[1];
    const [x, w] = Object.values(item.arguments).map(tensorOf);
    const y = (x: tf.Tensor, w: tf.Tensor) =>
      tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "same", "NCHW", [1, 3]);
    const dy = tf.transpose(tensorOf(item.coefficients), [0, 3, 1, 2]);
    const [dx, dw] = tf.grads(y)([tf.transpose(x, [0, 3, 1, 2]), w], dy);
    await assertNear(tf.transpose(dx, [0, 2, 3, 1]), item.gradients.x, 2e-6, "dx");
    await assertNear(dw, item.gradients.w, 2e-6, "dw");
  });

  // tfjs' cpu kernel of a depthwise convolution has channels last alone.
  if (backend === "wasm") {
    test("explicit padding with channels first is that of a depthwise gradient with them last", async () => {
      await use();
      const [x, w] = [
        tf.randomUniform([2, 5, 6, 3]),
        tf.randomUniform([3, 2, 3, 2]),
      ] as tf.Tensor4D[];
      const [h, v]: [Pair, Pair] = [[2, 0], [0, 3]];
      const gradients = (isFirst: boolean) => {
        const [format, pad] = isFirst
          ? ["NCHW", [[0, 0], [0, 0], h, v]] as const
          : ["NHWC", [[0, 0], h, v, [0, 0]]] as const;
        const y = (x: tf.Tensor, w: tf.Tensor): tf.Tensor => {
          const image = (isFirst ? tf.transpose(x, [0, 3, 1, 2]) : x) as tf.Tensor4D;
          return tf.square(tf.depthwiseConv2d(image, w as tf.Tensor4D, 1, pad as never, format));
        };
        return tf.grads(y)([x, w]);
      };
      const [first, last] = [gradients(true), gradients(false)];
      for (const [i, gradient] of first.entries()) {
        assert.ok(gradient.dataSync().some((value) => value > 1));
        assert.deepEqual(gradient.dataSync(), last[i].dataSync());
      }
    });
  }

  test(`a depthwise convolution with dilations trains behind another operation on ${backend}`, async () => {
    await use();
    const item = cases.find(({ op, options }) => op === "depthwiseConv2d" && options.dilations);
    const inputs = Object.values(item!.arguments).map(tensorOf);
    const dy = tensorOf(item!.coefficients);
    const behind = tf.grads((x, w) => compute(item!, [tf.mul(x, 1), tf.mul(w, 1)]))(inputs, dy);
    await assertNear(behind[0], item!.gradients.x, 2e-6, "dx");
    await assertNear(behind[1], item!.gradients.w, 2e-6, "dw");
  });

  test(`fused.conv2d and Conv2D layers with dilations or tanh train on ${backend}`, async () => {
    await use();
    const item = cases[0];
    const [x, w] = Object.values(item.arguments).map(tensorOf) as tf.Tensor4D[];
    const bias = tf.tensor1d([0.5, -1, 0, 2, 1]);
    const dw = tf.grad((w: tf.Tensor) =>
      tf.fused.conv2d({
        x,
        filter: w as tf.Tensor4D,
        strides: 1,
        pad: "valid",
        dilations: [2, 2],
        bias,
      })
    )(w, tensorOf(item.coefficients));
    await assertNear(dw, item.gradients.w, 2e-6, "dw of fused.conv2d");

    const layer = tf.layers.conv2d({
      ...{ filters: 5, kernelSize: 3, dilationRate: 2, activation: "tanh" },
      inputShape: [8, 9, 3],
    });
    const model = tf.sequential({ layers: [layer] });
    layer.setWeights([w, bias]);
    const { grads } = tf.variableGrads(() =>
      tf.sum(tf.mul(model.apply(x) as tf.Tensor, tensorOf(item.coefficients)))
    );
    const [gradient] = Object.values(grads);
    const direct = tf.grad((w: tf.Tensor) =>
      tf.tanh(tf.add(tf.conv2d(x, w as tf.Tensor4D, 1, "valid", "NHWC", 2), bias))
    )(w, tensorOf(item.coefficients));
    const [data, expected] = [await gradient.data(), await direct.data()];
    assert.equal(data.length, 135);
    data.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-5));
  });
}
