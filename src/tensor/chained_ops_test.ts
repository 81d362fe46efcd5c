import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { root } from "../../test/support/root.ts";
import { CHAINED_OPS } from "./chained_ops.ts";
import * as tf from "./tf.ts";

await useBackend("cpu");

type Call = (...args: unknown[]) => unknown;

const x = tf.tensor2d([[0.5, -0.25, 0.75], [0.1, 0.9, -0.6]]);
const above1 = tf.tensor1d([1.5, 2, 8]);
const b = tf.tensor2d([[0.3, 0.25, -2], [0.1, 4, 0.7]]);
const ints = tf.tensor2d([[7, 2, -5], [1, 2, 9]], [2, 3], "int32");
const bools = tf.tensor1d([true, false, true], "bool");
const otherBools = tf.tensor1d([true, true, false], "bool");
const image = tf.reshape(tf.range(0, 32), [1, 4, 4, 2]) as tf.Tensor4D;
const kernel = tf.reshape(tf.range(-4, 4), [2, 2, 2, 1]) as tf.Tensor4D;
const pointwise = tf.tensor4d([1, -2], [1, 1, 2, 1]);
const signal = tf.reshape(tf.range(0, 6), [1, 6, 1]) as tf.Tensor3D;
const complex = tf.complex([[1, 2, 3]], [[0, -1, 1]]);

/** Methods called as the functional op of the same name: the names, the tensor, the arguments. */
const SAME: [string, tf.Tensor, unknown[]][] = [
  ["abs acos asin asinh atan atanh ceil cos cosh elu erf exp expm1 floor isFinite isInf", x, []],
  ["isNaN leakyRelu logSigmoid logSoftmax neg onesLike reciprocal relu relu6 round selu", x, []],
  ["sigmoid sign sin sinh softmax softplus square squeeze step tan tanh zerosLike rfft", x, []],
  ["all any", bools, []],
  ["acosh log log1p rsqrt sqrt", above1, []],
  ["add atan2 div divNoNan equal floorDiv greater greaterEqual less lessEqual", x, [b]],
  ["maximum minimum mod mul notEqual squaredDifference sub prelu", x, [b]],
  ["argMax argMin cumprod cumsum", ints, [1]],
  ["euclideanNorm logSumExp max mean min prod sum", x, [1, true]],
  ["logicalAnd logicalOr logicalXor", bools, [otherBools]],
  ["logicalNot", bools, []],
  ["fft ifft irfft", complex, []],
  ["avgPool maxPool", image, [2, 1, "valid"]],
  ["batchNorm", x, [[0.1, 0.2, 0.3], [1, 2, 3], [0, 1, 2], [2, 2, 2], 0.01]],
  ["batchToSpaceND", tf.reshape(tf.range(0, 8), [4, 1, 2, 1]), [[2, 2], [[0, 0], [0, 0]]]],
  ["broadcastTo", above1, [[2, 3]]],
  ["cast", x, ["int32"]],
  ["clipByValue", x, [-0.2, 0.6]],
  ["conv1d", signal, [tf.tensor3d([1, 2], [2, 1, 1]), 1, "same"]],
  ["conv2d", image, [kernel, 1, "valid"]],
  ["conv2dTranspose", tf.ones([1, 2, 2, 1]), [kernel, [1, 4, 4, 2], 2, "same"]],
  ["depthToSpace", tf.reshape(tf.range(0, 4), [1, 1, 1, 4]), [2]],
  ["depthwiseConv2d", image, [kernel, 1, "valid"]],
  ["dilation2d", image, [tf.reshape(tf.range(0, 8), [2, 2, 2]), 1, "valid", 1]],
  ["dot", above1, [tf.tensor1d([1, -1, 2])]],
  ["expandDims", above1, [1]],
  ["gather", above1, [[2, 0]]],
  ["localResponseNormalization", image, [2, 1, 0.5, 0.5]],
  ["matMul", x, [b, false, true]],
  ["mirrorPad", x, [[[1, 0], [0, 1]], "reflect"]],
  ["norm", x, ["euclidean", 1]],
  ["oneHot", tf.tensor1d([2, 0], "int32"), [3]],
  ["pad", x, [[[1, 0], [0, 2]], 7]],
  ["pool", image, [2, "avg", "valid"]],
  ["pow", above1, [2]],
  ["reshape", x, [[3, 2]]],
  ["reverse", x, [1]],
  ["separableConv2d", image, [kernel, pointwise, 1, "valid"]],
  ["slice", x, [[0, 1], [2, 2]]],
  ["spaceToBatchND", image, [[2, 2], [[0, 0], [0, 0]]]],
  ["split", x, [3, 1]],
  ["stridedSlice", x, [[0, 0], [2, 3], [1, 2]]],
  ["tile", x, [[2, 1]]],
  ["topk", ints, [2]],
  ["transpose", x, [[1, 0]]],
  ["unique", ints, [1]],
  ["unsortedSegmentSum", x, [tf.tensor1d([1, 0], "int32"), 2]],
  ["unstack", x, [1]],
];

/** Methods without a functional op of their name: the tensor, the arguments, shape and values. */
const OTHERS: [string, tf.Tensor, unknown[], number[], number[]][] = [
  ["as1D", ints, [], [6], [7, 2, -5, 1, 2, 9]],
  ["as2D", ints, [3, 2], [3, 2], [7, 2, -5, 1, 2, 9]],
  ["as3D", ints, [1, 3, 2], [1, 3, 2], [7, 2, -5, 1, 2, 9]],
  ["as4D", ints, [1, 3, 1, 2], [1, 3, 1, 2], [7, 2, -5, 1, 2, 9]],
  ["as5D", ints, [1, 3, 1, 2, 1], [1, 3, 1, 2, 1], [7, 2, -5, 1, 2, 9]],
  ["asScalar", tf.tensor2d([[5]]), [], [], [5]],
  ["asType", tf.tensor1d([1.7, -1.7]), ["int32"], [2], [1, -1]],
  ["concat", above1, [tf.tensor1d([3])], [4], [1.5, 2, 8, 3]],
  ["concat", tf.tensor2d([[1]]), [[tf.tensor2d([[2]]), tf.tensor2d([[3]])], 1], [1, 3], [1, 2, 3]],
  ["flatten", ints, [], [6], [7, 2, -5, 1, 2, 9]],
  ["reshapeAs", ints, [tf.zeros([6, 1])], [6, 1], [7, 2, -5, 1, 2, 9]],
  ["resizeBilinear", tf.tensor3d([1, 3], [1, 2, 1]), [[1, 3], true], [1, 3, 1], [1, 2, 3]],
  ["resizeNearestNeighbor", tf.tensor3d([1, 3], [1, 2, 1]), [[2, 2]], [2, 2, 1], [1, 3, 1, 3]],
  ["stack", tf.tensor1d([1, 2]), [tf.tensor1d([3, 4])], [2, 2], [1, 2, 3, 4]],
  ["stack", tf.tensor1d([1, 2]), [[tf.tensor1d([3, 4])], 1], [2, 2], [1, 3, 2, 4]],
  ["toBool", tf.tensor1d([0, 2]), [], [2], [0, 1]],
  ["toFloat", tf.tensor1d([3, -4], "int32"), [], [2], [3, -4]],
  ["toInt", tf.tensor1d([1.7, -1.7]), [], [2], [1, -1]],
  ["where", above1, [bools, tf.tensor1d([7, 8, 9])], [3], [1.5, 8, 8]],
];

test("every file of tfjs-core's chained_ops has its method", () => {
  const folder = join(root, "node_modules/@tensorflow/tfjs-core/dist/public/chained_ops");
  const theirs = readdirSync(folder).filter((name) => /^(?!register_).*\.js$/.test(name)).map(
    (file) => /\.prototype\.(\w+)\s*=/.exec(readFileSync(join(folder, file), "utf8"))?.[1],
  );
  assert.deepEqual(theirs.sort(), [...CHAINED_OPS]);
  for (const name of CHAINED_OPS) assert.equal(typeof method(x, name), "function", name);
});

test("the tables below call every chained op", () => {
  const called = new Set([
    ...SAME.flatMap(([names]) => names.split(" ")),
    ...OTHERS.map((o) => o[0]),
  ]);
  assert.deepEqual([...called].sort(), [...CHAINED_OPS]);
});

test("x.op(...args) gives the numbers of tf.op(x, ...args)", async () => {
  for (const [names, tensor, args] of SAME) {
    for (const name of names.split(" ")) {
      const expected = (tf as unknown as Record<string, Call>)[name](tensor, ...args);
      assert.deepEqual(
        await plain(method(tensor, name).apply(tensor, args)),
        await plain(expected),
        name,
      );
    }
  }
});

test("the chained ops without a functional op of their name give known numbers", async () => {
  for (const [name, tensor, args, shape, values] of OTHERS) {
    const result = method(tensor, name).apply(tensor, args) as tf.Tensor;
    assert.deepEqual([result.shape, [...await result.data()]], [shape, values], name);
  }
  assert.equal(x.toInt().dtype, "int32");
  assert.equal(ints.toFloat().dtype, "float32");
  assert.throws(() => x.asScalar(), /only 1 element/);
});

test("a chained op of a disposed tensor throws, and none is enumerable", () => {
  const gone = tf.scalar(1);
  gone.dispose();
  assert.throws(() => gone.add(1), /disposed/);
  const keys = [];
  for (const key in x) keys.push(key);
  assert.equal(keys.includes("flatten"), false);
});

function method(tensor: tf.Tensor, name: string): Call {
  return (tensor as unknown as Record<string, Call>)[name];
}

/** Tensors inside arrays and objects as shape, type and values. */
async function plain(value: unknown): Promise<unknown> {
  if (value instanceof tf.Tensor) return [value.shape, value.dtype, [...await value.data()]];
  const fields = await Promise.all(
    Object.entries(value as object).map(async ([key, item]) => [key, await plain(item)]),
  );
  return Object.fromEntries(fields);
}
