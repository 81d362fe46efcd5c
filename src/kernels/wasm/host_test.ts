import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";

test("kernels of strings and ragged tensors are computed on the host, and leave nothing", async () => {
  await useKernels();
  const state = (): number[] => [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  const before = state();
  const rows: [() => tf.Tensor, unknown][] = [
    [() => tf.tile(tf.tensor1d(["a", "b"]), [2]), ["a", "b", "a", "b"]],
    [() => tf.equal(tf.tensor1d(["a", "b"]), tf.tensor1d(["a", "c"])), [1, 0]],
    [() => tf.less(tf.tensor1d(["a", "d"]), tf.tensor1d(["b", "c"])), [1, 0]],
    [() => tf.fill([2], "x"), ["x", "x"]],
    [() => tf.clone(tf.tensor1d(["é", "b"])), ["é", "b"]],
    [() => tf.string.staticRegexReplace(tf.tensor1d(["hello"]), "l+", "L"), ["heLo"]],
    [() => tf.stack([tf.tensor1d(["a"]), tf.tensor1d(["b"])]), [["a"], ["b"]]],
    [() => tf.unstack(tf.tensor2d([["a", "b"], ["c", "d"]]))[1], ["c", "d"]],
    [() => tf.gatherND(tf.tensor1d(["a", "b"]), [[1], [0]]), ["b", "a"]],
    [() => tf.unique(tf.tensor1d(["a", "b", "a"])).values, ["a", "b"]],
    [() => tf.stridedSlice(tf.tensor1d(["a", "b", "c"]), [2], [0], [-1]), ["c", "b"]],
    [() => tf.concat([tf.tensor1d(["a"]), tf.tensor1d(["b"])]), ["a", "b"]],
    [() => tf.slice(tf.tensor1d(["a", "b", "c"]), 1), ["b", "c"]],
  ];
  for (const [compute, expected] of rows) {
    assert.deepEqual(tf.tidy(() => compute().arraySync()), expected, `${compute}`);
  }
  assert.deepEqual(state(), before);
});

test("integers, bool and sizes of 0 that tfjs' wasm kernels misread have right answers", async () => {
  await useKernels();
  const bool = (values: number[], shape?: number[]): tf.Tensor => tf.tensor(values, shape, "bool");
  const int = (values: number[], shape?: number[]): tf.Tensor => tf.tensor(values, shape, "int32");
  const image = (): tf.Tensor4D => tf.tensor4d([-1, -2, -3, -4], [1, 2, 2, 1]);
  const e = Math.fround(Math.E);
  const rows: [() => tf.Tensor, unknown][] = [
    [() => tf.where(bool([1, 0, 0]), bool([1, 1, 1]), bool([0, 0, 0])), [1, 0, 0]],
    [() => tf.where(bool([1, 0]), int([2, 3]), tf.tensor1d([0.5, 1.5])), [2, 1.5]],
    [
      () => tf.tensor1d(tf.where(bool([1, 1], [2, 1]), tf.zeros([2, 0]), tf.ones([2, 1])).shape),
      [2, 0],
    ],
    [() => tf.clipByValue(bool([1, 0, 1]), 0, 1), [1, 0, 1]],
    [() => tf.clipByValue(int([1, 5, 9]), 2, 6), [2, 5, 6]],
    [() => tf.reciprocal(bool([1, 1])), [1, 1]],
    [() => tf.square(bool([1, 0, 1])), [1, 0, 1]],
    [() => tf.exp(bool([1, 0])), [e, 1]],
    [() => tf.isNaN(int([-1, 3])), [0, 0]],
    [() => tf.mod(int([5, 5]), int([0, 3])), [0, 2]],
    [() => tf.maxPoolWithArgmax(image(), 2, 2, "valid").result, [[[[-1]]]]],
    [() => tf.maxPoolWithArgmax(image(), 2, 2, "valid").indexes, [[[[0]]]]],
    [() => tf.prelu(tf.tensor1d([-1, -2]), int([1, 2])), [-1, -4]],
    [() => tf.batchNorm(tf.ones([1, 2]), int([0, 0]), int([4, 4]), undefined, undefined, 0), [[
      0.5,
      0.5,
    ]]],
    [() => tf.any(bool([], [0, 2]), 0), [0, 0]],
    [() => tf.all(bool([], [0, 2]), 0), [1, 1]],
    [() => tf.max(bool([], [0, 2]), 0), [0, 0]],
    [() => tf.min(bool([], [0, 2]), 0, true), [[1, 1]]],
    [() => tf.mean(int([], [0, 2]), 0), [NaN, NaN]],
    [() => tf.mean(int([1, 2])), 1.5],
    [() => tf.argMax(tf.zeros([0, 3, 2]), 1), []],
  ];
  const state = (): number[] => [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  const before = state();
  for (const [compute, expected] of rows) {
    assert.deepEqual(tf.tidy(() => compute().arraySync()), expected, `${compute}`);
  }
  assert.deepEqual(state(), before);
});
