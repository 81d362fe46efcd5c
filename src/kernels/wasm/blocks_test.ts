import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";

function image(shape: number[]): tf.Tensor {
  return tf.tensor(noise(tf.util.sizeFromShape(shape)), shape);
}

const ROWS: readonly (readonly [string, () => tf.Tensor])[] = [
  ["batchToSpaceND", () => tf.batchToSpaceND(image([12, 3, 4, 5]), [2, 3], [[1, 2], [0, 1]])],
  ["batchToSpaceND of one axis", () => tf.batchToSpaceND(image([4, 3, 2]), [2], [[0, 0]])],
  ["spaceToBatchND", () => tf.spaceToBatchND(image([2, 5, 7, 3]), [2, 3], [[1, 0], [0, 2]])],
  ["spaceToBatchND of one axis", () => tf.spaceToBatchND(image([2, 6, 3]), [3], [[0, 0]])],
  ["depthToSpace", () => tf.depthToSpace(image([2, 3, 4, 18]) as tf.Tensor4D, 3)],
  [
    "pool with dilations",
    () => tf.pool(image([2, 7, 8, 3]) as tf.Tensor4D, [3, 2], "max", "same", [2, 3]),
  ],
];

for (const [title, compute] of ROWS) {
  test(`${title} moves the same elements as on cpu`, async () => {
    await useKernels();
    const { cpu, wasm } = await onBoth(compute);
    assert.deepEqual(wasm, cpu);
  });
}

test("depthToSpace with channels first equals the one with channels last", async () => {
  await useKernels();
  const x = tf.tensor4d(noise(2 * 3 * 4 * 12), [2, 3, 4, 12]);
  const first = tf.depthToSpace(tf.transpose(x, [0, 3, 1, 2]), 2, "NCHW");
  const last = await take(tf.depthToSpace(x, 2));
  // Both take the channels of a block in the same order: its place first, then what stays.
  assert.deepEqual(await take(tf.transpose(first, [0, 2, 3, 1])), last);
});

test("sizes below 0 are refused, as tfjs refuses them", async () => {
  await useKernels();
  const crop = () => tf.batchToSpaceND(tf.ones([4, 1, 1, 1]), [2, 2], [[2, 2], [0, 0]]);
  assert.throws(crop, /sizes must be at least 0, received \[1,-2,2,1\]/);
  const dilate = () =>
    tf.dilation2d(tf.ones<tf.Rank.R4>([2, 5, 1, 3]), tf.ones<tf.Rank.R3>([3, 4, 3]), 1, "valid", 2);
  assert.throws(dilate, /sizes must be at least 0/);
});
