import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

test("cumsum and cumprod equal the cpu backend on any axis, exclusive and reversed", async () => {
  await useKernels();
  for (
    const [shape, axes] of [[[7], [0]], [[3, 5], [0, 1]], [[4, 3, 9], [0, 1, 2]], [[3, 270], [0]], [
      [6, 9],
      [1],
    ], [
      [0, 3],
      [1],
    ]]
  ) {
    for (const axis of axes) {
      for (const dtype of ["float32", "int32"] as const) {
        for (
          const [exclusive, reverse] of [[false, false], [true, false], [false, true], [true, true]]
        ) {
          for (const name of ["cumsum", "cumprod"] as const) {
            const { cpu, wasm } = await onBoth(() => {
              const x = noise(tf.util.sizeFromShape(shape)).map((v) => 2 * v + (v < 0 ? -1 : 1));
              return tf[name](tf.cast(tf.tensor(x, shape), dtype), axis, exclusive, reverse);
            });
            const what = `${name} of ${dtype} [${shape}] on ${axis}, ${exclusive}, ${reverse}`;
            for (let i = 0; i < cpu.length; i++) {
              const bound = dtype === "int32" ? 0 : 2e-6 * Math.max(1, Math.abs(cpu[i]));
              assert.ok(Math.abs(cpu[i] - wasm[i]) <= bound, `${what}: ${wasm[i]}, ${cpu[i]}`);
            }
          }
        }
      }
    }
  }
});

test("cumsum rounds every sum once: a million terms, along rows and columns", async () => {
  await useKernels();
  const n = 2 ** 18;
  const x = noise(4 * n);
  for (const [axis, shape] of [[0, [4 * n]], [0, [n, 4]]] as const) {
    const sums = await take(tf.cumsum(tf.tensor(x, [...shape]), axis));
    const step = x.length / shape[0];
    const exact = new Float64Array(step);
    for (let i = 0; i < x.length; i++) {
      exact[i % step] += x[i];
      assert.equal(sums[i], Math.fround(exact[i % step]));
    }
  }
});

test("a NaN stays in its column, from its place on", async () => {
  await useKernels();
  const x = tf.tensor2d([[1, 2, 3, 4, 5], [1, NaN, 3, 4, Infinity], [1, 2, 3, 4, -Infinity]]);
  assert.deepEqual(await tf.cumsum(x, 0).array(), [
    [1, 2, 3, 4, 5],
    [2, NaN, 6, 8, Infinity],
    [3, NaN, 9, 12, NaN],
  ]);
});

test("scans touch nothing past their arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const floats = new Float32Array(memory.buffer);
  for (let inner = 1; inner <= 9; inner++) {
    for (const isReverse of [0, 1]) {
      floats.fill(1, end / 4 - 3 * inner);
      floats.fill(7, 0, 100);
      kernels.f32_cumsum(1, 3, inner, 0, isReverse, end - 12 * inner, 4, 4096);
      const rows = (isReverse ? [3, 2, 1] : [1, 2, 3]).flatMap((v) => Array(inner).fill(v));
      assert.deepEqual([...floats.subarray(0, 3 * inner + 2)], [7, ...rows, 7]);
      kernels.f32_cumsum(1, 3, inner, 0, isReverse, 4, end - 12 * inner, 4096);
    }
  }
});
