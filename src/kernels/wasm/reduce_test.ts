import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

const OPS = [
  ["sum", tf.sum],
  ["mean", tf.mean],
  ["max", tf.max],
  ["min", tf.min],
  ["prod", tf.prod],
] as const;

const SHAPES: readonly (readonly [number[], (number | number[])[]])[] = [
  [[], [[]]],
  [[7], [0]],
  [[1, 1], [0, [0, 1]]],
  [[5, 9], [0, 1, [0, 1]]],
  [[3, 4, 5], [0, 1, 2, [0, 2], [0, 1], [1, 2], -1]],
  [[2, 3, 4, 5], [[0, 2], [1, 3], [0, 3], [1, 2], [0, 1, 2, 3]]],
  [[2, 1, 19, 3], [1, 2, [0, 2]]],
  [[0, 4], [0, 1]],
  [[3, 0], [1, [0, 1]]],
];

test("reductions over any axes equal the cpu backend", async () => {
  await useKernels();
  for (const [name, op] of OPS) {
    for (const [shape, axes] of SHAPES) {
      for (const axis of axes) {
        for (const keepDims of [false, true]) {
          const size = tf.util.sizeFromShape(shape);
          const { cpu, wasm } = await onBoth(() =>
            op(tf.tensor(noise(size), shape), axis, keepDims)
          );
          for (let i = 0; i < cpu.length; i++) {
            const close = Object.is(wasm[i], cpu[i]) || Math.abs(wasm[i] - cpu[i]) <= 1e-5;
            const what = `${name} [${shape}] over [${axis}] at ${i}`;
            // tfjs' cpu backend starts the maximum and minimum of nothing, and its mean, elsewhere.
            if (!shape.includes(0)) assert.ok(close, `${what}: ${wasm[i]}, ${cpu[i]}`);
          }
        }
      }
    }
  }
});

test("reductions of integers and bools are exact, also past 2^24", async () => {
  await useKernels();
  const ops = [tf.sum, tf.max, tf.min, tf.prod] as const;
  for (const [shape, axes] of SHAPES) {
    if (shape.includes(0)) continue;
    for (const axis of axes) {
      for (const [i, op] of ops.entries()) {
        const size = tf.util.sizeFromShape(shape);
        const values = Int32Array.from(noise(size), (x) => Math.trunc(x * (i === 3 ? 3 : 1e7)));
        const { cpu, wasm } = await onBoth(() => op(tf.tensor(values, shape, "int32"), axis));
        assert.deepEqual(wasm, cpu, `${i} [${shape}] over [${axis}]`);
      }
    }
  }
  assert.deepEqual(await tf.sum(tf.tensor1d([2 ** 24, 1, 1], "int32")).array(), 2 ** 24 + 2);
  assert.deepEqual(
    await tf.sum(tf.tensor2d([[true, false], [true, true]], [2, 2], "bool"), 0).array(),
    [2, 1],
  );
  assert.deepEqual([...await take(tf.max(tf.zeros([2, 0], "int32"), 1))], [-(2 ** 31), -(2 ** 31)]);
});

test("reductions of nothing are 0, NaN, -Inf, Inf and 1", async () => {
  await useKernels();
  const expected = [0, NaN, -Infinity, Infinity, 1];
  for (const [i, [, op]] of OPS.entries()) {
    assert.deepEqual([...await take(op(tf.zeros([2, 0]), 1))], [expected[i], expected[i]]);
  }
});

test("a NaN anywhere is the sum, maximum and minimum", async () => {
  await useKernels();
  for (const n of [1, 3, 4, 6, 21]) {
    for (let at = 0; at < n; at++) {
      const values = new Float32Array(n).fill(1);
      values[at] = NaN;
      for (const [name, op] of OPS) {
        assert.ok(Number.isNaN((await take(op(tf.tensor1d(values))))[0]), `${name} ${n} ${at}`);
        const column = op(tf.tensor2d(values, [n, 1]), 0);
        assert.ok(Number.isNaN((await take(column))[0]), `${name} ${n} ${at} in a column`);
      }
    }
  }
});

test("sums are pairwise: the error of a million terms is a few ulp, along rows and columns", async () => {
  await useKernels();
  const n = 2 ** 20 + 123;
  const x = Float32Array.from(noise(n), (v) => 1 + v / 2);
  const exact = x.reduce((sum, v) => sum + v, 0);
  const row = (await take(tf.sum(tf.tensor1d(x))))[0];
  assert.ok(Math.abs(row - exact) <= (20 + Math.log2(n / 256)) * 2 ** -24 * exact);
  assert.ok(Math.abs(row - exact) <= 4 * 2 ** -24 * exact, `${row}, exact ${exact}`);
  const columns = await take(tf.sum(tf.tensor2d(x.subarray(0, 2 ** 20), [2 ** 18, 4]), 0));
  for (let j = 0; j < 4; j++) {
    let sum = 0;
    for (let i = j; i < 2 ** 20; i += 4) sum += x[i];
    assert.ok(Math.abs(columns[j] - sum) <= 4 * 2 ** -24 * sum, `${columns[j]}, exact ${sum}`);
  }
});

test("softmax rows equal the cpu backend's, and sum to one where exp would overflow", async () => {
  await useKernels();
  for (const shape of [[1], [7], [5, 33], [2, 3, 4], [0, 3]]) {
    const size = tf.util.sizeFromShape(shape);
    const { cpu, wasm } = await onBoth(() =>
      tf.softmax(tf.tensor(noise(size).map((x) => 10 * x), shape))
    );
    for (let i = 0; i < cpu.length; i++) assert.ok(Math.abs(wasm[i] - cpu[i]) <= 3e-7);
  }
  assert.deepEqual([...await take(tf.softmax([1000, 1000, -1000]))], [0.5, 0.5, 0]);
  assert.deepEqual([...await take(tf.softmax([1, NaN, 2]))], [NaN, NaN, NaN]);
});

test("reductions touch nothing past their arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 8 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const heap = new Float32Array(memory.buffer);
  for (let n = 1; n <= 40; n++) {
    heap.fill(7, 0, 200);
    heap.fill(1, end / 4 - 3 * n);
    const x = end - 12 * n;
    kernels.f32_sum_rows(3, n, x, 20, 1);
    assert.deepEqual([...heap.subarray(4, 9)], [7, n, n, n, 7]);
    kernels.f32_sum_columns(1, 3, n, x, 420, 1, 1024);
    assert.deepEqual([...heap.subarray(104, 106 + n)], [7, ...Array(n).fill(3), 7]);
    kernels.f32_max_rows(3, n, x, 20);
    assert.deepEqual([...heap.subarray(4, 9)], [7, 1, 1, 1, 7]);
    const integers = new Int32Array(memory.buffer);
    integers.fill(3, end / 4 - 3 * n);
    kernels.i32_sum_rows(3, n, x, 20);
    assert.deepEqual([...integers.subarray(5, 8)], [3 * n, 3 * n, 3 * n]);
    kernels.i32_max_columns(1, 3, n, x, 420);
    assert.deepEqual([...integers.subarray(105, 105 + n)], Array(n).fill(3));
    assert.equal(heap[105 + n], 7);
    heap.fill(1, end / 4 - n);
    kernels.f32_softmax(1, n, end - 4 * n, 420);
    assert.equal(heap[105 + n], 7);
  }
});
