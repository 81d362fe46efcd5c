import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";

function values(shape: number[], dtype: "float32" | "int32" | "bool" = "float32"): tf.Tensor {
  const data = noise(tf.util.sizeFromShape(shape)).map((x) => dtype === "float32" ? x : x * 9);
  return tf.cast(tf.tensor(data, shape), dtype);
}

const PERMUTATIONS: readonly (readonly [number[], number[]])[] = [
  [[5, 7], [1, 0]],
  [[64, 33], [1, 0]],
  [[100, 130], [1, 0]],
  [[4, 5, 6], [0, 2, 1]],
  [[4, 5, 6], [1, 0, 2]],
  [[4, 5, 6], [2, 1, 0]],
  [[4, 5, 6], [2, 0, 1]],
  [[2, 3, 4, 5], [0, 2, 1, 3]],
  [[2, 3, 4, 5], [3, 1, 0, 2]],
  [[2, 9, 3, 4, 5], [2, 0, 3, 1, 4]],
  [[2, 1, 3, 1, 4, 5, 2], [6, 1, 4, 3, 0, 2, 5]],
  [[3, 1, 4], [0, 2, 1]],
  [[7, 1], [1, 0]],
  [[3, 0, 2], [2, 1, 0]],
];

test("transpose equals the cpu backend for any rank and dtype", async () => {
  await useKernels();
  for (const [shape, perm] of PERMUTATIONS) {
    for (const dtype of ["float32", "int32", "bool"] as const) {
      const { cpu, wasm } = await onBoth(() => tf.transpose(values(shape, dtype), perm));
      assert.deepEqual(wasm, cpu, `[${shape}] by [${perm}] of ${dtype}`);
    }
  }
});

test("slice, split, concat and pad equal the cpu backend", async () => {
  await useKernels();
  const cases: (() => tf.Tensor)[] = [
    () => tf.slice(values([5, 6, 7]), [1, 2, 3], [3, 4, 2]),
    () => tf.slice(values([5, 6, 7]), [1, 0, 0], [2, 6, 7]),
    () => tf.slice(values([5, 6, 70]), [0, 0, 1], [5, 6, 66]),
    () => tf.slice(values([9], "bool"), [2], [5]),
    () => tf.slice(values([5, 6]), [1, 1], [0, 2]),
    () => tf.slice(values([3, 1, 4, 1, 5], "int32"), [0, 0, 1, 0, 2], [3, 1, 2, 1, 3]),
    () => tf.concat(tf.unstack(values([4, 3, 5]), 1), 1),
    () => tf.stack(tf.unstack(values([4], "int32")).reverse()),
    () => {
      const parts = tf.split(values([4, 6, 5]), [1, 2, 3], 1);
      return tf.concat([parts[2], parts[0], parts[1]], 1);
    },
    () => tf.concat([values([2, 3, 4]), values([2, 5, 4]), values([2, 0, 4])], 1),
    () => tf.concat([values([3]), values([4])], 0),
    () => tf.concat([values([2, 3], "bool"), values([2, 1], "bool")], 1),
    () => tf.stack(tf.unstack(values([3, 4, 5]), 1), 2),
    () => tf.pad(values([3, 4]), [[1, 2], [0, 3]], 2.5),
    () => tf.pad(values([2, 3, 4], "int32"), [[0, 0], [2, 1], [1, 0]], -3),
    () => tf.pad(values([5]), [[3, 4]]),
  ];
  for (const [i, compute] of cases.entries()) {
    const { cpu, wasm } = await onBoth(compute);
    assert.deepEqual(wasm, cpu, `case ${i}: ${compute}`);
  }
});

test("identity, reshape, cast to the same dtype and a trivial transpose copy nothing", async () => {
  await useKernels();
  const x = values([2, 1, 3]);
  const before = tf.engine().backend.numDataIds();
  const same = [
    tf.clone(x),
    tf.reshape(x, [6]),
    tf.cast(x, "float32"),
    tf.transpose(x, [1, 0, 2]),
  ];
  assert.equal(tf.engine().backend.numDataIds(), before);
  const expected = await x.data();
  x.dispose();
  for (const tensor of same) assert.deepEqual(await take(tensor), expected);
});
