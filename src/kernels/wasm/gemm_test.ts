import { strict as assert } from "node:assert";
import { test } from "node:test";
import { modes, noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";
import { TILES } from "./tiles.ts";

/** Steps of a block of the sum, as in as/gemm.ts. */
const BLOCK = 256;

/** The kernel's sum in its order: blocks of 256 steps, each from zero, every operation rounded. */
function rounded(m: number, n: number, k: number, a: Matrix, b: Matrix): Float32Array {
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let total = 0;
      for (let p = 0; p < k; p += BLOCK) {
        let sum = 0;
        for (let q = p; q < Math.min(p + BLOCK, k); q++) {
          sum = Math.fround(sum + Math.fround(at(a, i, q) * at(b, q, j)));
        }
        total = p === 0 ? sum : Math.fround(total + sum);
      }
      out[i * n + j] = total;
    }
  }
  return out;
}

interface Matrix {
  readonly values: Float32Array;
  readonly row: number;
  readonly column: number;
}

function at({ values, row, column }: Matrix, i: number, j: number): number {
  return values[i * row + j * column];
}

function matrix(rows: number, columns: number, isTransposed: boolean, seed: number): Matrix {
  const values = noise(rows * columns, seed);
  return isTransposed ? { values, row: 1, column: rows } : { values, row: columns, column: 1 };
}

const memory = new WebAssembly.Memory({ initial: 32 });
const builds = [false, true].map((fused) =>
  fused && !modes.includes(true) ? undefined : instantiateKernels(memory, fused)
);

/** The kernel on arrays that end with the memory, so that a read past either of them traps. */
function product(
  tile: number,
  [m, n, k]: readonly number[],
  a: Matrix,
  b: Matrix,
  fused = false,
): Float32Array {
  const kernels = builds[Number(fused)]!;
  const run = (atA: number, atB: number): Float32Array => {
    const heap = new Float32Array(memory.buffer);
    const c = 4 * 200_001;
    heap.fill(7, c / 4 - 1, c / 4 + m * n + 1);
    heap.set(a.values, atA / 4);
    heap.set(b.values, atB / 4);
    const epilogue = [0, 0, 0, 0, 0, 0, 0] as const;
    kernels.f32_gemm(
      ...[tile, m, n, k, atA, a.row, a.column, atB, b.row, b.column, c, 16] as const,
      ...epilogue,
    );
    assert.deepEqual([heap[c / 4 - 1], heap[c / 4 + m * n]], [7, 7], "written outside of C");
    return heap.slice(c / 4, c / 4 + m * n);
  };
  const end = memory.buffer.byteLength;
  const low = 4 * 300_001;
  const first = run(end - 4 * a.values.length, low);
  assert.deepEqual(run(low, end - 4 * b.values.length), first);
  return first;
}

/** Sizes around the tiles' edges, blocks of the sum, and both vector paths. */
const SIZES: readonly (readonly number[])[] = [
  ...[1, 2, 3, 4, 5, 7, 8, 9, 13, 17, 25].flatMap((m) =>
    [1, 3, 4, 8, 11, 12, 24, 27].map((n) => [m, n, 1 + (m * n) % 9])
  ),
  ...[8, 9, 12, 13, 16, 31].map((n) => [11, n, 4]),
  [9, 13, 260],
  [21, 4, 43],
  [19, 4, 300],
  [7, 30, 100],
  [13, 25, 257],
  [31, 33, 64],
  [1, 37, 300],
  [37, 1, 300],
  [9, 6, 520],
  [125, 26, 12],
  [130, 40, 15],
  [6, 490, 9],
];

test("f32_gemm adds in the same order for every size, transpose and tile: the bits are known", () => {
  for (const size of SIZES) {
    const [m, n, k] = size;
    for (const [isA, isB] of [[false, false], [true, false], [false, true], [true, true]]) {
      const a = matrix(m, k, isA, 1);
      const b = matrix(k, n, isB, 2);
      const expected = rounded(m, n, k, a, b);
      for (const tile of [0, ...m * n > 300 ? TILES : TILES.slice(0, 1)]) {
        assert.deepEqual(product(tile, size, a, b), expected, `${size} ${isA} ${isB} ${tile}`);
      }
    }
  }
});

test("f32_gemm with fused multiply-add gives the same bits on every path and tile", () => {
  if (!modes.includes(true)) return;
  for (const size of [[29, 31, 40], [130, 26, 300], [8, 24, 270]]) {
    const [m, n, k] = size;
    const [a, b] = [matrix(m, k, false, 3), matrix(k, n, true, 4)];
    const expected = product(0, size, a, b, true);
    for (const tile of TILES) assert.deepEqual(product(tile, size, a, b, true), expected);
    const row = { ...a, values: a.values.slice(0, k) };
    assert.deepEqual(product(0, [1, n, k], row, b, true), expected.slice(0, n));
  }
});

test("f32_gemm stays within its bound of the exact product", () => {
  for (const fused of modes) {
    for (const [m, n, k] of [[33, 40, 1000], [1, 50, 3000], [64, 64, 64]]) {
      const [a, b] = [matrix(m, k, false, 5), matrix(k, n, false, 6)];
      const c = product(TILES[0], [m, n, k], a, b, fused);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let [exact, size] = [0, 0];
          for (let p = 0; p < k; p++) {
            exact += at(a, i, p) * at(b, p, j);
            size += Math.abs(at(a, i, p) * at(b, p, j));
          }
          const bound = (Math.min(k, BLOCK) + k / BLOCK + 1) * 2 ** -24 * size;
          assert.ok(Math.abs(c[i * n + j] - exact) <= bound);
        }
      }
    }
  }
});

test("matMul broadcasts batches, and equals the cpu backend", async () => {
  const rows: [number[], number[], boolean, boolean][] = [
    [[2, 3, 5, 7], [2, 3, 7, 4], false, false],
    [[2, 3, 7, 5], [3, 7, 4], true, false],
    [[5, 7], [6, 4, 7], false, true],
    [[4, 9, 6], [6, 5], false, false],
    [[4, 6, 9], [1, 5, 6], true, true],
    [[2, 0, 3], [2, 3, 4], false, false],
    [[2, 4, 0], [2, 0, 3], false, false],
  ];
  for (const fused of modes) {
    await useKernels({ fused });
    for (const [shapeA, shapeB, isA, isB] of rows) {
      const { cpu, wasm } = await onBoth(() =>
        tf.matMul(randomTensor(shapeA, 1), randomTensor(shapeB, 2), isA, isB)
      );
      assertClose(wasm, cpu, 1e-5, `${shapeA} x ${shapeB}`);
    }
  }
});

// tfjs' cpu backend gets batches wrong that broadcast on both sides.
test("matMul of batches that both broadcast equals the product of repeated batches", async () => {
  await useKernels();
  const [a, b] = [randomTensor([2, 1, 30, 40], 1), randomTensor([1, 3, 40, 50], 2)];
  const repeated = tf.matMul(tf.tile(a, [1, 3, 1, 1]), tf.tile(b, [2, 1, 1, 1]));
  assert.deepEqual(await take(tf.matMul(a, b)), await take(repeated));
});

test("fused.matMul adds a bias of any shape and applies each activation", async () => {
  await useKernels();
  const activations = ["linear", "relu", "relu6", "elu", "sigmoid", "leakyrelu", "prelu"] as const;
  for (const [m, k, n] of [[3, 5, 7], [40, 30, 33], [1, 9, 6], [130, 8, 26]]) {
    const biases = [undefined, [n], [m, n], [1, n], [m, 1], [1], []];
    for (const [i, biasShape] of biases.entries()) {
      const activation = activations[i % activations.length];
      const compute = (): tf.Tensor =>
        tf.fused.matMul({
          a: randomTensor([m, k], 1) as tf.Tensor2D,
          b: randomTensor([k, n], 2) as tf.Tensor2D,
          bias: biasShape && randomTensor(biasShape, 3),
          activation,
          preluActivationWeights: randomTensor([n], 4),
          leakyreluAlpha: 0.3,
        });
      const { cpu, wasm } = await onBoth(compute);
      assertClose(wasm, cpu, 1e-5, `${activation} with bias [${biasShape}]`);
    }
  }
});

test("matMul carries NaN and Inf to their rows and columns only", async () => {
  await useKernels();
  for (const [m, k, n] of [[6, 5, 7], [50, 40, 60]]) {
    const a = noise(m * k, 1);
    a[k + 1] = NaN;
    a[3 * k] = Infinity;
    const c = await take(tf.matMul(tf.tensor2d(a, [m, k]), tf.ones([k, n])));
    c.forEach((value, i) => {
      const row = Math.floor(i / n);
      if (row === 1) assert.ok(Number.isNaN(value));
      else if (row === 3) assert.equal(value, Infinity);
      else assert.ok(Number.isFinite(value));
    });
  }
});

test("int32 products are exact modulo 2^32", async () => {
  await useKernels();
  const a = tf.tensor2d([[2147483647, 2, -3], [65536, 65536, 1]], [2, 3], "int32");
  const b = tf.tensor2d([[2, 1, 5], [3, -1, 65536], [7, 1, 1]], [3, 3], "int32");
  const [left, right] = [await a.data(), await b.data()];
  const expected = [0, 1, 2, 3, 4, 5].map((at) => {
    let sum = 0n;
    for (let p = 0; p < 3; p++) {
      sum += BigInt(left[Math.floor(at / 3) * 3 + p]) * BigInt(right[p * 3 + at % 3]);
    }
    return Number(BigInt.asIntN(32, sum));
  });
  assert.deepEqual([...await take(tf.matMul(a, b))], expected);
  assert.deepEqual([...await take(tf.matMul(a, tf.transpose(b), false, true))], expected);
  assert.deepEqual([...await take(tf.matMul(tf.transpose(a), b, true))], expected);
});

function randomTensor(shape: number[], seed: number): tf.Tensor {
  return tf.tensor(noise(tf.util.sizeFromShape(shape), seed), shape);
}

function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    assert.ok(error <= tolerance * (1 + Math.abs(expected[i])), `${what}[${i}]: ${actual[i]}`);
  }
}
