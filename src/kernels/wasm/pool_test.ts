import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../../../test/support/close.ts";
import { noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

type Triple = [number, number, number];

/** Image [n, d, h, w, c], window, strides, padding. */
const CASES: readonly (readonly [number[], Triple, Triple, "same" | "valid"])[] = [
  [[2, 1, 6, 8, 4], [1, 2, 2], [1, 2, 2], "valid"],
  [[1, 1, 7, 9, 7], [1, 3, 2], [1, 2, 1], "same"],
  [[3, 1, 5, 5, 1], [1, 3, 3], [1, 1, 1], "same"],
  [[1, 1, 9, 7, 18], [1, 2, 3], [1, 3, 4], "valid"],
  [[2, 5, 4, 6, 3], [2, 3, 2], [1, 2, 2], "same"],
  [[1, 6, 5, 4, 9], [3, 1, 2], [2, 1, 1], "valid"],
];

/** The windows of a case in float64: for each output the offsets of its inputs. */
function windowsOf(
  [n, d, h, w, c]: readonly number[],
  filter: Triple,
  strides: Triple,
  pad: "same" | "valid",
): { out: number[]; windows: number[][] } {
  const size = [d, h, w];
  const out = size.map((length, i) =>
    Math.ceil((pad === "same" ? length : length - filter[i] + 1) / strides[i])
  );
  const before = size.map((length, i) =>
    pad === "valid"
      ? 0
      : Math.floor(Math.max(0, (out[i] - 1) * strides[i] + filter[i] - length) / 2)
  );
  const range = (o: number, i: number): number[] => {
    const first = o * strides[i] - before[i];
    return Array.from({ length: filter[i] }, (_, tap) => first + tap)
      .filter((at) => at >= 0 && at < size[i]);
  };
  const windows: number[][] = [];
  for (let image = 0; image < n; image++) {
    for (let z = 0; z < out[0]; z++) {
      for (let y = 0; y < out[1]; y++) {
        for (let x = 0; x < out[2]; x++) {
          const taps = range(z, 0).flatMap((a) =>
            range(y, 1).flatMap((b) => range(x, 2).map((e) => ((image * d + a) * h + b) * w + e))
          );
          for (let channel = 0; channel < c; channel++) {
            windows.push(taps.map((tap) => tap * c + channel));
          }
        }
      }
    }
  }
  return { out: [n, ...out, c], windows };
}

function poolOf(
  kind: "max" | "avg",
  [image, filter, strides, pad]: typeof CASES[number],
): { shape: number[]; op: (x: tf.Tensor) => tf.Tensor } {
  if (image[1] > 1) {
    const op = kind === "max" ? tf.maxPool3d : tf.avgPool3d;
    return { shape: image, op: (x) => op(x as tf.Tensor5D, filter, strides, pad) };
  }
  const op = kind === "max" ? tf.maxPool : tf.avgPool;
  const [f, s] = [filter, strides].map(([, h, w]): [number, number] => [h, w]);
  const shape = [image[0], ...image.slice(2)];
  return { shape, op: (x) => op(x as tf.Tensor4D, f, s, pad) };
}

for (const row of CASES) {
  test(`pooling and its gradient equal float64: ${row.join(" | ")}`, async () => {
    await useKernels();
    const { windows } = windowsOf(...row);
    const size = tf.util.sizeFromShape(row[0]);
    const x = noise(size, 1);
    const dy = noise(windows.length, 2);
    for (const kind of ["max", "avg"] as const) {
      const y = windows.map((taps) => {
        const values = taps.map((tap) => x[tap]);
        if (kind === "max") return Math.max(...values);
        return values.reduce((a, b) => a + b) / values.length;
      });
      const dx = new Float64Array(size);
      windows.forEach((taps, i) => {
        if (kind === "avg") taps.forEach((tap) => dx[tap] += dy[i] / taps.length);
        else dx[taps.find((tap) => x[tap] === y[i])!] += dy[i];
      });
      const { shape, op } = poolOf(kind, row);
      const input = tf.tensor<tf.Rank>(x, shape);
      const result = op(input);
      const slope = tf.tensor<tf.Rank>(dy, result.shape);
      assertClose(await take(result), y, kind === "max" ? 0 : 1e-6, kind);
      assertClose(await take(tf.grad(op)(input, slope)), dx, 1e-6, `gradient of ${kind}`);
    }
  });
}

test("the gradient of maxPool goes to the first of equal maxima, and NaN is never one", async () => {
  await useKernels();
  const x = tf.tensor4d([1, 3, 3, 2, NaN, 5, -Infinity, 5], [1, 2, 4, 1]);
  assert.deepEqual([...await take(tf.maxPool(x, 2, 2, "valid"))], [5, 5]);
  const one = tf.tensor4d([1, 2], [1, 1, 2, 1]);
  const dx = tf.grad((x: tf.Tensor) => tf.maxPool(x as tf.Tensor4D, 2, 2, "valid"))(x, one);
  assert.deepEqual([...await take(dx)], [0, 0, 0, 0, 0, 1, 0, 2]);
  const equal = tf.grad((x: tf.Tensor) => tf.maxPool(x as tf.Tensor4D, 2, 2, "valid"))(
    tf.ones([1, 2, 4, 1]),
    one,
  );
  assert.deepEqual([...await take(equal)], [1, 0, 2, 0, 0, 0, 0, 0]);
});

test("pooling equals the cpu backend with numeric and explicit padding and rounding up", async () => {
  await useKernels();
  const x = noise(2 * 7 * 8 * 5, 3);
  const explicit: [[number, number], [number, number], [number, number], [number, number]] = [
    ...[[0, 0], [1, 0], [2, 1], [0, 0]] as const,
  ].map((pair): [number, number] => [...pair]) as typeof explicit;
  for (const op of [tf.maxPool, tf.avgPool]) {
    const paddings: [typeof explicit | number, "floor" | "ceil"][] = [
      [1, "floor"],
      [1, "ceil"],
      [explicit, "floor"],
    ];
    for (const [pad, rounding] of paddings) {
      const { cpu, wasm } = await onBoth(() =>
        op(tf.tensor4d(x, [2, 7, 8, 5]), [3, 2], 2, pad, rounding)
      );
      assertClose(wasm, cpu, 1e-6, `${op.name} ${pad} ${rounding}`);
    }
  }
});

test("pooling no images is empty", async () => {
  await useKernels();
  const x = tf.zeros([0, 4, 4, 3]);
  const op = (x: tf.Tensor) => tf.maxPool(x as tf.Tensor4D, 2, 2, "valid");
  assert.deepEqual(op(x).shape, [0, 2, 2, 3]);
  assert.deepEqual(tf.grad(op)(x).shape, [0, 4, 4, 3]);
});

test("the pooling kernels read and write nothing past their arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 2 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const heap = new Float32Array(memory.buffer);
  for (const channels of [1, 2, 3, 4, 5, 8, 11]) {
    const list = [1, 4, 4, 1, 2, 2, 0, 1, 1, 1, 7, 6, 1, 3, 3, channels];
    new Int32Array(memory.buffer).set(list, 16);
    const [pixels, outputs] = [2 * 42 * channels, 2 * 16 * channels];
    const image = noise(pixels, 1);
    const [low, to] = [4 * 2001, 4 * 8001];
    for (const name of ["f32_max_pool", "f32_mean_pool"] as const) {
      const results = [low, end - 4 * pixels].map((x) => {
        heap.fill(7, to / 4 - 1, to / 4 + outputs + 1);
        heap.set(image, x / 4);
        kernels[name](2, 64, x, to);
        assert.deepEqual([heap[to / 4 - 1], heap[to / 4 + outputs]], [7, 7], "written outside");
        return heap.slice(to / 4, to / 4 + outputs);
      });
      assert.deepEqual(results[0], results[1]);
    }
    const gradients = [[low, end - 4 * outputs], [end - 4 * pixels, low]].map(([x, dy]) => {
      heap.fill(7, to / 4 - 1, to / 4 + pixels + 1);
      heap.fill(0, to / 4, to / 4 + pixels);
      heap.set(image, x / 4);
      heap.set(image.slice(0, outputs), dy / 4);
      kernels.f32_max_pool_grad(2, 64, x, dy, to);
      kernels.f32_sum_pool_grad(2, 64, dy, to);
      assert.deepEqual([heap[to / 4 - 1], heap[to / 4 + pixels]], [7, 7], "written outside");
      return heap.slice(to / 4, to / 4 + pixels);
    });
    assert.deepEqual(gradients[0], gradients[1]);
  }
});
test("average pooling along a line equals the cpu backend", async () => {
  await useKernels();
  const cases: readonly (readonly [[number, number, number, number], number | [number, number]])[] =
    [
      [[2, 1, 30, 1], [1, 25]],
      [[3, 2, 9, 5], [1, 3]],
      [[1, 4, 7, 16], [1, 7]],
      [[2, 5, 6, 3], 3],
      [[0, 1, 6, 3], [1, 2]],
    ];
  for (const [shape, window] of cases) {
    const { cpu, wasm } = await onBoth(() => {
      const x = tf.tensor4d(noise(tf.util.sizeFromShape(shape)), shape);
      return tf.avgPool(x, window, 1, "valid");
    });
    assert.equal(wasm.length, cpu.length);
    for (let i = 0; i < cpu.length; i++) {
      assert.ok(
        Math.abs(wasm[i] - cpu[i]) <= 1e-6,
        `[${shape}] by ${window}: ${wasm[i]}, ${cpu[i]}`,
      );
    }
  }
});
