import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";

function values(shape: number[], dtype: "float32" | "int32" | "bool" = "float32"): tf.Tensor {
  const data = noise(tf.util.sizeFromShape(shape)).map((x) => dtype === "float32" ? x : x * 3);
  return tf.cast(tf.tensor(data, shape), dtype);
}

const CASES: readonly (() => tf.Tensor)[] = [
  () => tf.tile(values([3, 4]), [2, 3]),
  () => tf.tile(values([3, 1, 5]), [1, 4, 2]),
  () => tf.tile(values([1]), [7]),
  () => tf.tile(values([2, 3], "bool"), [3, 2]),
  () => tf.tile(values([2, 3], "int32"), [1, 0]),
  () => tf.broadcastTo(values([4, 1]), [2, 4, 6]),
  () => tf.reverse(values([3, 4, 5]), [0, 2]),
  () => tf.reverse(values([17])),
  () => tf.reverse(values([3, 4], "bool"), 1),
  () => tf.stridedSlice(values([5, 6]), [4, 1], [0, 6], [-2, 3]),
  () => tf.stridedSlice(values([5, 6], "bool"), [0, 5], [5, 0], [2, -1]),
  () => tf.stridedSlice(values([5, 6]), [0, 3], [0, 5], [1, 1], 1, 1),
  () => tf.stridedSlice(values([5, 6]), [3], [1], [2]),
  () => tf.stridedSlice(values([2, 3, 4]), [1, 0], [2, 2], [1, 1], 0, 0, 1, 0, 0),
  () => tf.stack([values([3, 4]), values([3, 4])], 1),
  () => tf.stack([values([3]), values([3]), values([3])], -1),
  () => tf.stack([values([])]),
  () => tf.stack(tf.unstack(values([3, 4, 5], "int32"), 1), 2),
  () => tf.unstack(values([3, 4]), -1)[2],
  () => tf.mirrorPad(values([3, 4]), [[1, 2], [2, 1]], "reflect"),
];

test("tile, reverse, stack and strided slices equal the cpu backend", async () => {
  await useKernels();
  for (const [i, compute] of CASES.entries()) {
    const { cpu, wasm } = await onBoth(compute);
    assert.deepEqual(wasm, cpu, `case ${i}: ${compute}`);
  }
});

test("stridedSlice shrinks an axis beside others with strides", async () => {
  await useKernels();
  const x = tf.tensor2d([[1, 2, 3, 4], [5, 6, 7, 8]]);
  const y = tf.stridedSlice(x, [1, 0], [2, 4], [1, 2], 0, 0, 0, 0, 1);
  assert.deepEqual([y.shape, await y.array()], [[2], [5, 7]]);
});

test("none of them leaves a tensor or a data id behind", async () => {
  await useKernels();
  const state = (): number[] => [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  const before = state();
  for (const compute of CASES) tf.tidy(() => void compute());
  assert.deepEqual(state(), before);
});
