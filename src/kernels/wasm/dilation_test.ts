import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../../../test/support/close.ts";
import { noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

/** Image, taps, stride, dilation, padding. */
const CASES: readonly (readonly [number[], number[], number, number, "same" | "valid"])[] = [
  [[2, 7, 6, 3], [3, 3], 2, 1, "same"],
  [[1, 6, 9, 8], [2, 4], 1, 1, "same"],
  [[2, 8, 9, 5], [3, 2], 1, 2, "valid"],
  [[1, 5, 5, 1], [3, 3], 1, 2, "same"],
];

for (const [shape, taps, stride, dilation, pad] of CASES) {
  test(`dilation2d and its gradients equal the cpu backend's: ${shape} | ${taps} ${pad}`, async () => {
    await useKernels();
    const x = noise(tf.util.sizeFromShape(shape), 1).map((value) => value - 2);
    const filterShape = [...taps, shape[3]];
    const w = noise(tf.util.sizeFromShape(filterShape), 2);
    const op = (x: tf.Tensor, w: tf.Tensor): tf.Tensor =>
      tf.dilation2d(x as tf.Tensor4D, w as tf.Tensor3D, stride, pad, dilation);
    const forward = await onBoth(() => op(tf.tensor(x, shape), tf.tensor(w, filterShape)));
    assert.deepEqual(forward.wasm, forward.cpu);
    const slopes = await onBoth(() => {
      const dy = tf.tensor(noise(tf.util.sizeFromShape(forward.shape), 3), forward.shape);
      const gradients = tf.grads(op)([tf.tensor(x, shape), tf.tensor(w, filterShape)], dy);
      return tf.concat(gradients.map((gradient) => tf.reshape(gradient, [-1])));
    });
    assertClose(slopes.wasm, slopes.cpu, 1e-5, "gradients");
  });
}

test("the gradients of dilation2d are the differences of its values", async () => {
  await useKernels();
  const [image, taps] = [[1, 4, 5, 2], [2, 2, 2]];
  const inputs = [noise(40, 1), noise(8, 2)];
  const dy = noise(40, 3);
  const compute = (values: Float32Array[]): tf.Tensor =>
    tf.dilation2d(
      tf.tensor<tf.Rank>(values[0], image) as tf.Tensor4D,
      tf.tensor<tf.Rank>(values[1], taps) as tf.Tensor3D,
      1,
      "same",
    );
  const loss = async (values: Float32Array[]): Promise<number> =>
    Array.from(await take(compute(values))).reduce((sum, y, i) => sum + y * dy[i], 0);
  const gradients = tf.grads((x: tf.Tensor, w: tf.Tensor) =>
    tf.dilation2d(x as tf.Tensor4D, w as tf.Tensor3D, 1, "same")
  )([tf.tensor(inputs[0], image), tf.tensor(inputs[1], taps)], tf.tensor(dy, image));
  for (const [k, gradient] of gradients.entries()) {
    const slope = await take(gradient);
    for (let i = 0; i < slope.length; i++) {
      // Small enough that no other sum becomes the largest, a power of two so that little is rounded.
      const step = 2 ** -11;
      const [high, low] = [step, -step].map((shift) =>
        inputs.map((values, j) => j === k ? values.with(i, values[i] + shift) : values)
      );
      const difference = (await loss(high) - await loss(low)) / (2 * step);
      assert.ok(Math.abs(difference - slope[i]) < 2e-3, `${k} ${i}: ${difference} ${slope[i]}`);
    }
  }
});

test("the dilation kernels read and write nothing past their arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 2 });
  const kernels = instantiateKernels(memory, false);
  const heap = new Float32Array(memory.buffer);
  const end = memory.buffer.byteLength;
  for (const channels of [1, 3, 4, 6]) {
    const list = [5, 6, 1, 1, 1, 1, 5, 6, 3, 3, 1, 1, channels];
    new Int32Array(memory.buffer).set(list, 16);
    const [pixels, taps] = [2 * 30 * channels, 9 * channels];
    const [low, to] = [4 * 2001, 4 * 6001];
    const results = [0, 1, 2].map((last) => {
      const place = (length: number, which: number, seed: number): number => {
        const at = last === which ? end - 4 * length : low + 4 * 1000 * which;
        heap.set(noise(length, seed), at / 4);
        return at;
      };
      const [x, w, dy] = [place(pixels, 0, 1), place(taps, 1, 2), place(pixels, 2, 3)];
      return (["f32_dilation", "f32_dilation_input", "f32_dilation_filter"] as const).map(
        (name) => {
          const length = name === "f32_dilation_filter" ? taps : pixels;
          heap.fill(7, to / 4 - 1, to / 4 + length + 1);
          heap.fill(0, to / 4, to / 4 + length);
          if (name === "f32_dilation") kernels[name](2, 64, x, w, to);
          else if (name === "f32_dilation_input") kernels[name](2, 64, x, w, dy, to);
          else kernels[name](2, 64, x, w, dy, to, 4096);
          assert.deepEqual([heap[to / 4 - 1], heap[to / 4 + length]], [7, 7], "written outside");
          return heap.slice(to / 4, to / 4 + length);
        },
      );
    });
    assert.deepEqual(results[1], results[0]);
    assert.deepEqual(results[2], results[0]);
  }
});
