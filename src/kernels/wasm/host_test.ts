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
