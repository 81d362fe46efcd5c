import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

const values = (shape: number[], dtype: "float32" | "int32" = "float32"): tf.Tensor => {
  const data = noise(tf.util.sizeFromShape(shape)).map((x) => dtype === "int32" ? x * 99 : x);
  return tf.cast(tf.tensor(data, shape), dtype);
};

/** Integers in [low, high), the same for the same seed. */
function indices(shape: number[], high: number, low = 0): tf.Tensor {
  const data = noise(tf.util.sizeFromShape(shape), 9).map((x) =>
    low + Math.floor((x + 1) / 2 * (high - low))
  );
  return tf.tensor(Int32Array.from(data), shape, "int32");
}

test("gather and scatterND equal the cpu backend for any axis, batch and dtype", async () => {
  await useKernels();
  const cases: (() => tf.Tensor)[] = [
    () => tf.gather(values([7, 5]), indices([9], 7)),
    () => tf.gather(values([7, 5]), indices([4, 3], 5), 1),
    () => tf.gather(values([7, 65]), indices([3], 7)),
    () => tf.gather(values([2, 7, 3, 2], "int32"), indices([5], 3), 2),
    () => tf.gather(values([3, 7, 2]), indices([3, 4], 7), 1, 1),
    () => tf.gather(values([2, 3, 7]), indices([2, 3, 4], 7), 2, 2),
    () => tf.gather(tf.greater(values([7, 5]), 0), indices([3], 7)),
    () => tf.gather(values([7, 0]), indices([3], 7)),
    () => tf.gather(values([7, 2]), tf.tensor1d([], "int32")),
    () => tf.scatterND(indices([6, 1], 4), values([6, 5]), [4, 5]),
    () => tf.scatterND(indices([30, 2], 4), values([30, 3]), [4, 6, 3]),
    () => tf.scatterND(indices([6, 1], 4), values([6, 5], "int32"), [4, 5]),
    () => tf.bincount(tf.tensor1d([1, 3, 1], "int32"), tf.tensor1d([0.5, 1, 2]), 5),
  ];
  for (const [i, compute] of cases.entries()) {
    const { cpu, wasm } = await onBoth(compute);
    for (let j = 0; j < cpu.length; j++) {
      assert.ok(Math.abs(cpu[j] - wasm[j]) <= 1e-6, `case ${i}, ${j}: ${wasm[j]}, ${cpu[j]}`);
    }
  }
});

test("kernels that take indices name one that is out of range", async () => {
  await useKernels();
  const before = tf.memory().numTensors;
  const ids = tf.engine().backend.numDataIds();
  for (const bad of [-1, 7]) {
    assert.throws(() => tf.tidy(() => tf.gather(values([7, 2]), [0, bad])), {
      message: `GatherV2: the index value ${bad} is not in [0, 6]`,
    });
    assert.throws(
      () => tf.tidy(() => tf.scatterND([[0], [bad]], values([2, 3]), [7, 3])),
      { message: `ScatterNd: index ${bad} on axis 0 is not in [0, 6] of shape [7,3]` },
    );
    const row = tf.tensor1d([bad], "int32");
    const x = tf.zeros([7, 2, 2, 1]) as tf.Tensor4D;
    const box = tf.tensor2d([[0, 0, 1, 1]]);
    const unchecked: [string, number[], () => tf.Tensor][] = [
      ["GatherNd", [7, 2, 2, 1], () => tf.gatherND(x, tf.reshape(row, [1, 1]))],
      ["SparseToDense", [7], () => tf.sparseToDense(row, tf.tensor1d([1]), [7])],
      [
        "TensorScatterUpdate",
        [7],
        () => tf.tensorScatterUpdate(tf.zeros([7]), tf.reshape(row, [1, 1]), tf.tensor1d([1])),
      ],
      ["CropAndResize", x.shape, () => tf.image.cropAndResize(x, box, row, [2, 2])],
    ];
    for (const [kernel, shape, compute] of unchecked) {
      assert.throws(() => tf.tidy(compute), {
        message: `${kernel}: index ${bad} on axis 0 is not in [0, 6] of shape [${shape}]`,
      });
    }
    tf.dispose([row, x, box]);
  }
  assert.equal(tf.memory().numTensors, before);
  assert.equal(tf.engine().backend.numDataIds(), ids);
});

test("unsortedSegmentSum equals sums in double precision; ids out of range are ignored", async () => {
  await useKernels();
  for (
    const [rows, columns, segments] of [[1, 1, 1], [40, 3, 5], [300, 21, 4], [64, 64, 100], [
      5,
      0,
      3,
    ], [0, 3, 2]]
  ) {
    for (const dtype of ["float32", "int32"] as const) {
      const x = values([rows, columns], dtype);
      const ids = indices([rows], segments + 2, -1) as tf.Tensor1D;
      const [data, id] = [await x.data(), await ids.data()];
      const exact = new Float64Array(segments * columns);
      for (let i = 0; i < data.length; i++) {
        const s = id[Math.floor(i / columns)];
        if (s >= 0 && s < segments) exact[s * columns + i % columns] += data[i];
      }
      const sums = await take(tf.unsortedSegmentSum(x, ids, segments));
      assert.equal(sums.length, exact.length);
      for (let i = 0; i < sums.length; i++) {
        const error = Math.abs(sums[i] - exact[i]);
        assert.ok(error <= (dtype === "int32" ? 0 : 1e-5), `[${rows}, ${columns}] ${i}: ${error}`);
      }
    }
  }
});

test("a million rows of one segment add up with an error of a few ulp", async () => {
  await useKernels();
  for (const [n, columns] of [[2 ** 20 + 77, 1], [2 ** 16 + 77, 16]]) {
    const x = Float32Array.from(noise(n * columns), (v) => 1 + v / 2);
    const sums = await take(
      tf.unsortedSegmentSum(tf.tensor2d(x, [n, columns]), tf.zeros([n], "int32") as tf.Tensor1D, 1),
    );
    for (const j of [0, columns - 1]) {
      let exact = 0;
      for (let i = j; i < x.length; i += columns) exact += x[i];
      assert.ok(Math.abs(sums[j] - exact) <= 4 * 2 ** -24 * exact, `${sums[j]}, exact ${exact}`);
    }
  }
});

test("unsortedSegmentSum keeps NaN and Inf in their segment and column", async () => {
  await useKernels();
  const x = tf.tensor2d([[1, NaN], [2, 3], [Infinity, 4], [-Infinity, 5]]);
  const sums = await take(tf.unsortedSegmentSum(x, tf.tensor1d([0, 1, 2, 2], "int32"), 3));
  assert.deepEqual([...sums], [1, NaN, 2, 3, NaN, 9]);
});

test("the gradient of an embedding equals the cpu backend's, and 300 steps leave nothing", async () => {
  const ids = Int32Array.from(noise(64, 5), (x) => Math.floor((x + 1) * 5));
  const step = (): tf.Tensor => {
    const table = values([10, 17]);
    const target = values([64, 17], "int32");
    const loss = (table: tf.Tensor): tf.Tensor => {
      const rows = tf.gather(table, tf.tensor1d(ids, "int32"));
      return tf.mean(tf.square(tf.sub(rows, tf.mul(target, 0.1))));
    };
    return tf.grad(loss)(table);
  };
  const { cpu, wasm } = await onBoth(step);
  for (let i = 0; i < cpu.length; i++) assert.ok(Math.abs(cpu[i] - wasm[i]) <= 1e-6);
  const heap = (): number =>
    (tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } }).wasm.HEAPU8.byteLength;
  const state = (): number[] => [tf.memory().numTensors, tf.engine().backend.numDataIds(), heap()];
  const before = state();
  for (let i = 0; i < 300; i++) tf.tidy(() => void step());
  assert.deepEqual(state(), before);
});

test("gather and segment sums touch nothing past their arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 4 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const [floats, ints] = [new Float32Array(memory.buffer), new Int32Array(memory.buffer)];
  const [ids, y, scratch] = [4096, 8192, 65536];
  ints.set([2, 0, 2], ids / 4);
  for (let n = 1; n <= 70; n++) {
    floats.fill(1, end / 4 - 3 * n);
    floats.fill(7, y / 4, y / 4 + 3 * n + 1);
    const x = end - 12 * n;
    assert.equal(kernels.gather_rows(1, 1, 3, 3, 4 * n, x, ids, y), -1);
    assert.deepEqual([...floats.subarray(y / 4, y / 4 + 3 * n + 1)], [...Array(3 * n).fill(1), 7]);
    kernels.f32_segment_sum(3, n, 3, x, ids, y, scratch);
    const rows = [1, 0, 2].flatMap((value) => Array(n).fill(value));
    assert.deepEqual([...floats.subarray(y / 4, y / 4 + 3 * n + 1)], [...rows, 7]);
    kernels.f32_segment_sum(1, n, 1, y, ids + 4, end - 4 * n, scratch);
    assert.deepEqual([...floats.subarray(end / 4 - n)], Array(n).fill(1));
  }
});
