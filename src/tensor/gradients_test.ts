import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { useKernels } from "../../test/support/kernels.ts";
import * as tf from "./tf.ts";

type Row = readonly [string, number[], (x: tf.Tensor) => tf.Tensor];

/** Small integers, none of them twice in a row of ten. */
function integers(shape: number[], factor = 3): tf.Tensor {
  const size = tf.util.sizeFromShape(shape);
  return tf.tensor(Array.from({ length: size }, (_, i) => (i * factor) % 11 - 5), shape);
}

const ints = (values: number[], shape: number[]): tf.Tensor => tf.tensor(values, shape, "int32");

/** Running sums and products on all axes, in all four ways; the integers hold zeros. */
const scans: Row[] = [0, 1, -1].flatMap((axis) =>
  [false, true].flatMap((exclusive) =>
    [false, true].flatMap((reverse) =>
      (["cumsum", "cumprod"] as const).map((name): Row => [
        `${name} on axis ${axis}, exclusive ${exclusive}, reverse ${reverse}`,
        [5, 6],
        (x) => tf[name](x, axis, exclusive, reverse),
      ])
    )
  )
);

/** Ops that are linear in each single element: the input's shape, and the op. */
const LINEAR: readonly Row[] = [
  ["einsum, left", [2, 4], (x) => tf.einsum("ij,jk->ik", x, integers([4, 3], 7))],
  ["einsum, right", [5, 3], (x) => tf.einsum("ij,kj->ki", integers([4, 3], 7), x)],
  ["einsum, batches", [2, 3, 4], (x) => tf.einsum("bij,bjk->kbi", x, integers([2, 4, 2]))],
  [
    "einsum, a label of one alone",
    [2, 3, 4],
    (x) => tf.einsum("aij,jk->k", x, integers([4, 3], 7)),
  ],
  ["einsum, no sum", [3], (x) => tf.einsum("i,jk->kij", x, integers([4, 3], 7))],
  ["einsum, elementwise", [4, 3], (x) => tf.einsum("ij,ij->ij", x, integers([4, 3], 7))],
  ["einsum of one", [2, 3, 4], (x) => tf.einsum("ijk->ki", x)],
  ["einsum, trace product", [3, 4], (x) => tf.einsum("ij,ji->", x, integers([4, 3], 7))],
  ...scans,
  ["cumprod of one element", [1], (x) => tf.cumprod(x)],
  ["gather on axis 0", [4, 3], (x) => tf.gather(x, ints([3, 0, 3], [3]))],
  ["gather on axis 1 by a matrix", [2, 4, 3], (x) => tf.gather(x, ints([3, 0, 3, 1], [2, 2]), 1)],
  ["gather on axis -1", [2, 4], (x) => tf.gather(x, ints([3, 0, 3], [3]), -1)],
  ["gather in batches", [2, 4, 3], (x) => tf.gather(x, ints([3, 0, 3, 1], [2, 2]), 1, 1)],
  [
    "gather in batches, axis 2",
    [2, 3, 4, 2],
    (x) => tf.gather(x, ints([3, 0, 3, 1], [2, 2]), 2, 1),
  ],
  [
    "gather in two batch axes",
    [2, 2, 3],
    (x) => tf.gather(x, ints([2, 0, 2, 1, 0, 0, 1, 1], [2, 2, 2]), 2, 2),
  ],
  ["gatherND", [3, 4], (x) => tf.gatherND(x, ints([0, 1, 2, 3, 0, 1], [3, 2]))],
  ["gatherND of rows", [3, 4], (x) => tf.gatherND(x, ints([2, 0, 2], [3, 1]))],
  ["scatterND", [3, 2], (x) => tf.scatterND(ints([1, 3, 1], [3, 1]), x, [4, 2])],
  [
    "tensorScatterUpdate, updates",
    [2, 3],
    (x) => tf.tensorScatterUpdate(integers([4, 3]), ints([1, 3], [2, 1]), x),
  ],
  [
    "tensorScatterUpdate, tensor",
    [4, 3],
    (x) => tf.tensorScatterUpdate(x, ints([1, 3], [2, 1]), integers([2, 3])),
  ],
  ["stridedSlice", [5, 6], (x) => tf.stridedSlice(x, [4, 1], [0, 6], [-2, 3])],
  [
    "stridedSlice, shrunk",
    [3, 4],
    (x) => tf.stridedSlice(x, [1, 0], [2, 4], [1, 2], 0, 0, 0, 0, 1),
  ],
  ["tile of rank 5", [2, 1, 3, 1, 2], (x) => tf.tile(x, [1, 3, 2, 1, 2])],
  ["sum", [2, 3, 4], (x) => tf.sum(x, [0, -1])],
  ["mean", [2, 4, 4], (x) => tf.mean(x, [0, 2], true)],
  ["mean of all", [4, 4], (x) => tf.mean(x)],
  ["depthToSpace", [1, 2, 3, 8], (x) => tf.depthToSpace(x as tf.Tensor4D, 2)],
  ["flipLeftRight", [1, 2, 3, 2], (x) => tf.image.flipLeftRight(x as tf.Tensor4D)],
  ["diag", [4], (x) => tf.diag(x)],
  ["mirrorPad, reflect", [3, 4], (x) => tf.mirrorPad(x, [[1, 2], [0, 3]], "reflect")],
  ["mirrorPad, symmetric", [3, 4], (x) => tf.mirrorPad(x, [[1, 3], [2, 0]], "symmetric")],
  ["x.mirrorPad", [3], (x) => x.mirrorPad([[2, 1]], "reflect")],
  // Numbers 3 apart keep their order when one grows by 1.
  ["topk, values", [3, 8], (x) => tf.topk(tf.mul(x, 3), 3).values],
  [
    "unsortedSegmentSum",
    [5, 2],
    (x) => tf.unsortedSegmentSum(x, tf.tensor1d([2, 0, 2, -1, 1], "int32"), 3),
  ],
];

/** tfjs' cpu kernels of these lose count of the axes. */
const FAILS_ON_CPU = /einsum, a label of one alone|on axis -1,/;

for (const backend of ["cpu", "wasm"] as const) {
  test(`gradients on ${backend} are the exact differences of what is linear in an element`, async () => {
    await (backend === "cpu" ? useBackend("cpu") : useKernels());
    for (const [name, shape, op] of LINEAR) {
      if (backend === "cpu" && FAILS_ON_CPU.test(name)) continue;
      // The gradient of a weighted sum; with small integers every number is exact.
      const value = (x: tf.Tensor): tf.Tensor => {
        const y = op(x);
        return tf.sum(tf.mul(y, integers(y.shape, 5)));
      };
      const x = integers(shape);
      const grad = await tf.grad(value)(x).data();
      const at = (await value(x).data())[0];
      const data = await x.data();
      for (let i = 0; i < x.size; i++) {
        const moved = tf.tensor(data.map((v, j) => i === j ? v + 1 : v), shape);
        const slope = (await value(moved).data())[0] - at;
        assert.equal(Math.abs(grad[i] - slope), 0, `${name}: element ${i}: ${grad[i]}, ${slope}`);
      }
    }
  });
}

/** y = (x - mean) / sqrt(variance + e) * scale + offset of rows of `channels`, in double precision. */
function batchNorm(
  [x, mean, variance, scale, offset]: readonly (readonly number[])[],
  epsilon: number,
): number[] {
  const n = mean.length;
  return x.map((v, i) =>
    (v - mean[i % n]) / Math.sqrt(variance[i % n] + epsilon) * scale[i % n] + offset[i % n]
  );
}

test("the gradient of batchNorm equals central differences in double precision", async () => {
  for (const backend of ["cpu", "wasm"] as const) {
    await (backend === "cpu" ? useBackend("cpu") : useKernels());
    for (const [rows, channels] of [[6, 3], [5, 8], [1, 1], [40, 7]]) {
      const random = tf.randomUniform([rows * channels * 2 + 4 * channels], 0.5, 1.5, "float32", 7);
      const values = [...await random.data()];
      const take = (count: number): number[] => values.splice(0, count);
      const weights = take(rows * channels);
      const inputs = [take(rows * channels), ...[0, 1, 2, 3].map(() => take(channels))];
      const tensors = inputs.map((list, i) =>
        i === 0 ? tf.tensor2d(list, [rows, channels]) : tf.tensor1d(list)
      );
      const grads = tf.grads((x, m, v, s, o) =>
        tf.sum(tf.mul(
          tf.batchNorm(
            x,
            m as tf.Tensor1D,
            v as tf.Tensor1D,
            o as tf.Tensor1D,
            s as tf.Tensor1D,
            1e-3,
          ),
          tf.tensor2d(weights, [rows, channels]),
        ))
      )(tensors);
      for (const [which, list] of inputs.entries()) {
        const grad = await grads[which].data();
        for (const i of [0, list.length - 1]) {
          const at = (shift: number): number =>
            batchNorm(
              inputs.map((other, j) => j === which ? other.with(i, other[i] + shift) : other),
              1e-3,
            ).reduce((sum, y, j) => sum + y * weights[j], 0);
          const slope = (at(1e-4) - at(-1e-4)) / 2e-4;
          const error = Math.abs(grad[i] - slope);
          assert.ok(error < 1e-5 * Math.max(1, rows), `${backend} input ${which}: ${error}`);
        }
      }
    }
  }
});

test("the gradient of batchNorm does without scale and offset", async () => {
  await useBackend("cpu");
  const [mean, variance] = [tf.tensor1d([1]), tf.tensor1d([3])];
  const grad = tf.grad((x) =>
    tf.batchNorm(x as tf.Tensor2D, mean, variance, undefined, undefined, 1)
  );
  assert.deepEqual([...await grad(tf.tensor2d([[2], [5]])).data()], [0.5, 0.5]);
});

test("a saved tensor outlives its original, costs no kernel, and carries second derivatives", async () => {
  await useKernels();
  const before = tf.memory();
  const kernels: string[] = [];
  const engine = tf.engine();
  const { runKernel } = engine;
  engine.runKernel = ((...call) => {
    kernels.push(call[0]);
    return runKernel.apply(engine, call);
  }) as typeof runKernel;
  const cube = (x: tf.Tensor): tf.Tensor => {
    const same = tf.mul(x, 1);
    const result = tf.mul(tf.square(same), same);
    same.dispose();
    return result;
  };
  const x = tf.tensor1d([-2, 0.5, 3]);
  const first = tf.grad(cube)(x);
  assert.ok(!kernels.includes("Identity"), `${kernels}`);
  Reflect.deleteProperty(engine, "runKernel");
  const second = tf.grad((x) => tf.grad(cube)(x))(x);
  const third = tf.grad((x) => tf.grad((x) => tf.grad(cube)(x))(x))(x);
  assert.deepEqual([...first.dataSync()], [12, 0.75, 27]);
  assert.deepEqual([...second.dataSync()], [-12, 3, 18]);
  assert.deepEqual([...third.dataSync()], [6, 6, 6]);
  tf.dispose([x, first, second, third]);
  const { numTensors, numBytes } = tf.memory();
  assert.deepEqual([numTensors, numBytes], [before.numTensors, before.numBytes]);
});

test("second derivatives of ops that keep their result equal their formulas", async () => {
  const power = tf.customGrad((x, save) => {
    const y = tf.exp(x as tf.Tensor);
    (save as tf.GradSaveFunc)([y]);
    return { value: y, gradFunc: (dy: tf.Tensor, [y]: tf.Tensor[]) => tf.mul(dy, y) };
  });
  const rows: [string, (x: tf.Tensor) => tf.Tensor, (x: number) => number][] = [
    ["tanh", tf.tanh, (x) => -2 * Math.tanh(x) * (1 - Math.tanh(x) ** 2)],
    ["exp of a sum", (x) => tf.exp(tf.add(x, x)), (x) => 4 * Math.exp(2 * x)],
    ["customGrad", power, Math.exp],
  ];
  for (const backend of ["cpu", "wasm"] as const) {
    await (backend === "cpu" ? useBackend("cpu") : useKernels());
    for (const [name, op, expected] of rows) {
      const { numTensors } = tf.memory();
      const values = [-1.5, 0.25, 1];
      const x = tf.tensor1d(values);
      const second = tf.grad((x) => tf.grad(op)(x))(x);
      second.dataSync().forEach((value, i) => {
        const error = Math.abs(value - expected(values[i]));
        assert.ok(error < 2e-5, `${name} on ${backend} at ${values[i]}: ${value}`);
      });
      tf.dispose([x, second]);
      assert.equal(tf.memory().numTensors, numTensors);
    }
  }
});
