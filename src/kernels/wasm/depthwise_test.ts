import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../../../test/support/close.ts";
import {
  assertRounded,
  type Convolution,
  correlate,
  slopes,
} from "../../../test/support/convolution.ts";
import { modes, noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

type Shape4D = [number, number, number, number];
type Pair = [number, number];

/** Image [n, h, w, c], filter [h, w, multiplier], strides, dilations, padding. */
const CASES: readonly (readonly [Shape4D, number[], Pair, Pair, "same" | "valid" | number])[] = [
  [[2, 7, 6, 3], [3, 3, 1], [1, 1], [1, 1], "same"],
  [[1, 9, 12, 8], [3, 2, 1], [1, 1], [1, 1], "valid"],
  [[1, 12, 15, 21], [3, 5, 1], [1, 1], [1, 1], "same"],
  [[2, 11, 10, 5], [3, 3, 1], [2, 2], [1, 1], "same"],
  [[1, 10, 9, 4], [2, 3, 3], [3, 2], [1, 1], "valid"],
  [[1, 8, 9, 2], [3, 3, 2], [1, 1], [2, 3], "same"],
  [[2, 6, 7, 18], [1, 1, 2], [2, 3], [1, 1], "valid"],
  [[1, 5, 4, 1], [5, 5, 7], [1, 1], [1, 1], 2],
];

function size(shape: readonly number[]): number {
  return tf.util.sizeFromShape([...shape]);
}

function run(name: string, inputs: tf.NamedTensorMap, attributes: object) {
  return take(tf.engine().runKernel(name, inputs, { ...attributes }) as tf.Tensor);
}

for (const fused of modes) {
  for (const [image, taps, strides, dilations, pad] of CASES) {
    const title = `${image} * ${taps}, strides ${strides}, dilations ${dilations}, ${pad}`;
    test(`DepthwiseConv2dNative and its gradients keep their bound: ${title}, fused ${fused}`, async () => {
      await useKernels({ fused });
      const filterShape: Shape4D = [taps[0], taps[1], image[3], taps[2]];
      const info = tf.backend_util.computeConv2DInfo(
        ...[image, filterShape, strides, dilations, pad, undefined, true] as const,
      );
      const out = info.outShape;
      const convolution: Convolution = {
        image: [image[0], 1, ...image.slice(1)],
        filter: [1, ...filterShape],
        out: [out[0], 1, ...out.slice(1)],
        strides: [1, ...strides],
        dilations: [1, ...dilations],
        pad: [0, info.padInfo.top, info.padInfo.left],
        isDepthwise: true,
      };
      const values = [noise(size(image), 1), noise(size(filterShape), 2), noise(size(out), 3)];
      const [x, w, dy] = values;
      const [absX, absW, absDy] = values.map((list) => list.map(Math.abs));
      const exact = slopes(convolution, x, w, dy);
      const sizes = slopes(convolution, absX, absW, absDy);
      const tensors = { x: tf.tensor(x, image), filter: tf.tensor(w, filterShape) };
      const slope = tf.tensor(dy, out);
      const attributes = { strides, pad, dilations, dataFormat: "NHWC" };
      const y = await run("DepthwiseConv2dNative", tensors, attributes);
      const terms = taps[0] * taps[1] + 1;
      const [yExact, ySizes] = [correlate(convolution, x, w), correlate(convolution, absX, absW)];
      assertRounded(y, yExact, ySizes, terms, "y");
      const dw = await run(
        "DepthwiseConv2dNativeBackpropFilter",
        { x: tensors.x, dy: slope },
        { ...attributes, filterShape },
      );
      assertRounded(dw, exact.filter, sizes.filter, out[0] + out[1] + out[2], "dw");
      const dx = await run(
        "DepthwiseConv2dNativeBackpropInput",
        { dy: slope, filter: tensors.filter },
        { ...attributes, inputShape: image },
      );
      assertRounded(dx, exact.image, sizes.image, terms + taps[2], "dx");
    });
  }
}

test("depthwise gradients are the differences of the float64 convolution", async () => {
  await useKernels();
  const convolution: Convolution = {
    image: [2, 1, 5, 6, 3],
    filter: [1, 3, 2, 3, 2],
    out: [2, 1, 3, 3, 6],
    strides: [1, 2, 2],
    dilations: [1, 1, 1],
    pad: [0, 1, 0],
    isDepthwise: true,
  };
  const x = Float64Array.from(noise(180, 1));
  const w = Float64Array.from(noise(36, 2));
  const dy = noise(108, 3);
  const loss = (): number => correlate(convolution, x, w).reduce((sum, y, i) => sum + y * dy[i], 0);
  const differences = (values: Float64Array): Float64Array =>
    values.map((value, i) => {
      const [high, low] = [value + 0.5, value - 0.5].map((moved) => {
        values[i] = moved;
        return loss();
      });
      values[i] = value;
      return high - low;
    });
  const image = tf.tensor4d(Float32Array.from(x), [2, 5, 6, 3]);
  const filter = tf.tensor4d(Float32Array.from(w), [3, 2, 3, 2]);
  const [dx, dw] = tf.grads((image: tf.Tensor, filter: tf.Tensor) =>
    tf.depthwiseConv2d(image as tf.Tensor4D, filter as tf.Tensor4D, [2, 2], "same")
  )([image, filter], tf.tensor4d(dy, [2, 3, 3, 6]));
  assertClose(await take(dx), differences(x), 1e-5, "dx");
  assertClose(await take(dw), differences(w), 1e-5, "dw");
});

test("fused.depthwiseConv2d adds a bias and applies each activation", async () => {
  await useKernels();
  const activations = ["linear", "relu", "relu6", "elu", "sigmoid", "leakyrelu", "prelu"] as const;
  for (const [i, activation] of activations.entries()) {
    const { cpu, wasm } = await onBoth(() =>
      tf.fused.depthwiseConv2d({
        x: tf.tensor(noise(2 * 6 * 7 * 3, 1), [2, 6, 7, 3]) as tf.Tensor4D,
        filter: tf.tensor(noise(3 * 3 * 3 * 2, 2), [3, 3, 3, 2]) as tf.Tensor4D,
        strides: 1,
        pad: "same",
        bias: [undefined, tf.tensor(noise(6, 3)), tf.scalar(0.5)][i % 3],
        activation,
        preluActivationWeights: activation === "prelu" ? tf.tensor(noise(6, 4)) : undefined,
        leakyreluAlpha: 0.3,
      })
    );
    assertClose(wasm, cpu, 1e-5, activation);
  }
});

test("a depthwise convolution of no images is empty, and the gradient of its filter zero", async () => {
  await useKernels();
  const [x, dy] = [tf.zeros([0, 5, 5, 3]), tf.zeros([0, 5, 5, 6])];
  const filter = tf.ones([3, 3, 3, 2]);
  const attributes = { strides: 1, pad: "same", dilations: 1, dataFormat: "NHWC" };
  assert.equal((await run("DepthwiseConv2dNative", { x, filter }, attributes)).length, 0);
  const ofInput = { ...attributes, inputShape: [0, 5, 5, 3] };
  assert.equal(
    (await run("DepthwiseConv2dNativeBackpropInput", { dy, filter }, ofInput)).length,
    0,
  );
  const ofFilter = { ...attributes, filterShape: [3, 3, 3, 2] };
  const dw = await run("DepthwiseConv2dNativeBackpropFilter", { x, dy }, ofFilter);
  assert.deepEqual(dw, new Float32Array(54));
});

test("f32_depthwise and f32_depthwise_filter read and write nothing past their arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 16 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const heap = new Float32Array(memory.buffer);
  const [low, to] = [4 * 60_001, 4 * 120_001];
  for (const channels of [1, 2, 3, 4, 7, 8, 13, 16, 19]) {
    for (const pad of [0, 1]) {
      const [h, w] = [5 + 2 * pad, 7 + 2 * pad];
      const row = w * channels;
      const sizes = [h, w, 1, 1, pad, pad, 7, 9, 3, 3, 1, 1];
      new Int32Array(memory.buffer).set([...sizes, channels, h * row, row, channels], 16);
      const image = noise(2 * 63 * channels, 1);
      const others = [noise(9 * channels, 2), noise(2 * h * row, 3)];
      const results = [true, false].map((isImageLast) =>
        others.map((other, which) => {
          const [x, second] = isImageLast
            ? [end - 4 * image.length, low]
            : [low, end - 4 * other.length];
          const length = others[1 - which].length;
          heap.fill(7, to / 4 - 1, to / 4 + length + 1);
          heap.set(image, x / 4);
          heap.set(other, second / 4);
          if (which === 0) kernels.f32_depthwise(2, 64, x, second, to);
          else kernels.f32_depthwise_filter(2, 64, x, second, to, 4096);
          assert.deepEqual([heap[to / 4 - 1], heap[to / 4 + length]], [7, 7], "written outside");
          return heap.slice(to / 4, to / 4 + length);
        })
      );
      assert.deepEqual(results[0], results[1]);
    }
  }
});
