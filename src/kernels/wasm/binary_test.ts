import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, take, ulps, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

/** The op and its largest distance from the cpu backend in ulp. */
type Row = readonly [string, (a: tf.Tensor, b: tf.Tensor) => tf.Tensor, number];

const ROWS: readonly Row[] = [
  ["add", tf.add, 0],
  ["sub", tf.sub, 0],
  ["mul", tf.mul, 0],
  ["div", tf.div, 0],
  ["maximum", tf.maximum, 0],
  ["minimum", tf.minimum, 0],
  ["squaredDifference", tf.squaredDifference, 2],
  ["prelu", tf.prelu, 0],
  ["equal", tf.equal, 0],
  ["notEqual", tf.notEqual, 0],
  ["greater", tf.greater, 0],
  ["greaterEqual", tf.greaterEqual, 0],
  ["less", tf.less, 0],
  ["lessEqual", tf.lessEqual, 0],
];

const SHAPES: readonly (readonly [number[], number[]])[] = [
  [[], []],
  [[37], []],
  [[], [5, 7]],
  [[33], [33]],
  [[5, 7], [7]],
  [[5, 7], [5, 1]],
  [[5, 1], [7]],
  [[3, 4, 5], [4, 1]],
  [[3, 1, 5, 2], [4, 1, 2]],
  [[2, 3, 4, 5], [2, 1, 4, 1]],
  [[1, 6, 1], [3, 1, 20]],
  [[0, 4], [4]],
  [[3, 0], [1]],
  // Many short rows, which are put together
  [[40, 3], [3]],
  [[7], [5, 31, 7]],
];

/** Some NaN, infinities, zeros of both signs and equal values among noise. */
function values(shape: readonly number[], seed: number, dtype: "float32" | "int32"): tf.Tensor {
  const data = noise(tf.util.sizeFromShape([...shape]), seed);
  const special = [0, -0, NaN, Infinity, -Infinity, 0.5, 0.5, 2 ** -149];
  data.forEach((_, i) => {
    if ((i * 7 + seed) % 5 === 0) data[i] = special[(i * 3 + seed) % special.length];
  });
  const integers = (): Int32Array =>
    Int32Array.from(noise(data.length, seed), (x) => Math.round(x * 8));
  return tf.tensor(dtype === "int32" ? integers() : data, [...shape], dtype);
}

test("binary kernels equal the cpu backend under every broadcast, in float32 and int32", async () => {
  await useKernels();
  for (const [name, op, bound] of ROWS) {
    for (const dtype of ["float32", "int32"] as const) {
      if (dtype === "int32" && (name === "div" || name === "prelu")) continue;
      for (const [shapeA, shapeB] of SHAPES) {
        if (name === "prelu" && shapeB.length > shapeA.length) continue;
        const { cpu, wasm } = await onBoth(() =>
          op(values(shapeA, 1, dtype), values(shapeB, 2, dtype))
        );
        assert.equal(wasm.length, cpu.length);
        for (let i = 0; i < cpu.length; i++) {
          const what = `${name} ${dtype} [${shapeA}] [${shapeB}] at ${i}: ${wasm[i]}, ${cpu[i]}`;
          assert.ok(wasm[i] === cpu[i] || ulps(wasm[i], cpu[i]) <= bound, what);
        }
      }
    }
  }
});

test("floorDiv of int32 is exact and equals the cpu backend, over 0 too", async () => {
  await useKernels();
  const ends = [-(2 ** 31), 1 - 2 ** 31, 2 ** 31 - 1];
  const list = [...ends, -33554433, 16777217, 715827883, -7, -3, -2, -1, 0, 1, 2, 3, 7];
  const { length } = list;
  for (const op of [tf.floorDiv, tf.div]) {
    const { cpu, wasm } = await onBoth(() =>
      op(tf.tensor2d(list, [length, 1], "int32"), tf.tensor1d(list, "int32"))
    );
    const exact = list.flatMap((a) => list.map((b) => Math.floor(a / b) | 0));
    assert.deepEqual([Array.from(wasm), Array.from(cpu)], [exact, exact]);
  }
  const { cpu, wasm } = await onBoth(() =>
    tf.floorDiv(tf.tensor1d([1, 0, 1], "bool"), tf.tensor1d([1, 1, 0], "bool"))
  );
  assert.deepEqual(wasm, cpu);
});

test("pow is within 1 ulp and has the limits of C", async () => {
  await useKernels();
  const bases: number[] = [];
  const exponents: number[] = [];
  for (let i = 0; i < 20000; i++) {
    bases.push(Math.fround(2 ** ((i % 251) - 125) * (1 + (i % 97) / 97)));
    exponents.push(Math.fround(((i * 31) % 2003 - 1001) / 300));
  }
  const specials = [
    0,
    -0,
    1,
    -1,
    0.5,
    -0.5,
    2,
    -2,
    3,
    -3,
    Infinity,
    -Infinity,
    NaN,
    2 ** -149,
    2.5,
  ];
  for (const x of specials) {
    for (const y of specials) {
      bases.push(x);
      exponents.push(y);
    }
  }
  const out = await take(tf.pow(tf.tensor1d(bases), tf.tensor1d(exponents)));
  out.forEach((actual, i) => {
    const [x, y] = [Math.fround(bases[i]), exponents[i]];
    // JavaScript's pow of a base of size 1 is NaN where C's is 1.
    const isOne = x === 1 || (x === -1 && Math.abs(y) === Infinity);
    const exact = isOne ? 1 : Math.pow(x, y);
    const isZero = actual === 0 && Math.abs(exact) < 2 ** -149;
    assert.ok(isZero || ulps(actual, exact) <= 1, `${x} ^ ${y} = ${actual}, exact ${exact}`);
  });
});

test("select and where take lanes by their condition", async () => {
  await useKernels();
  for (const n of [0, 1, 3, 4, 5, 31]) {
    const { cpu, wasm } = await onBoth(() => {
      const [a, b] = [tf.tensor1d(noise(n, 1)), tf.tensor1d(noise(n, 2))];
      return tf.where(tf.greater(a, b), a, tf.mul(b, 2));
    });
    assert.deepEqual(wasm, cpu);
  }
});

test("binary kernels touch nothing past their arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const heap = new Float32Array(memory.buffer);
  for (let n = 1; n <= 35; n++) {
    heap.fill(7);
    heap.fill(2, (end - 4 * n) / 4);
    kernels.f32_add(1, n, end - 4 * n, n, 1, end - 4 * n, n, 1, 20);
    kernels.f32_add(1, n, end - 4 * n, n, 1, end - 4, 0, 0, 820);
    assert.deepEqual([...heap.subarray(4, 6 + n)], [7, ...Array(n).fill(4), 7]);
    assert.deepEqual([...heap.subarray(204, 206 + n)], [7, ...Array(n).fill(4), 7]);
    const bytes = new Uint8Array(memory.buffer);
    bytes.fill(9, 2000, 2100);
    kernels.f32_equal(1, n, end - 4 * n, n, 1, end - 4, 0, 0, 2001);
    assert.deepEqual([...bytes.subarray(2000, 2002 + n)], [9, ...Array(n).fill(1), 9]);
  }
});

test("logicalAnd, logicalOr and logicalXor equal the cpu backend, of one shape and broadcast", async () => {
  await useKernels();
  for (const op of [tf.logicalAnd, tf.logicalOr, tf.logicalXor]) {
    for (const [left, right] of [[[37], [37]], [[3, 5], [5]], [[0], [0]], [[], []]]) {
      const of = (shape: number[], seed: number): tf.Tensor =>
        tf.greater(tf.tensor(noise(tf.util.sizeFromShape(shape), seed), shape), 0);
      const { cpu, wasm } = await onBoth(() => op(of(left, 1), of(right, 2)));
      assert.deepEqual(wasm, cpu, `[${left}] and [${right}]`);
    }
  }
});

test("logic touches nothing past its arrays, and takes every byte but 0 as true", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const bytes = new Uint8Array(memory.buffer);
  for (let n = 1; n <= 40; n++) {
    bytes.fill(2, end - n);
    bytes.fill(9, 0, 100);
    kernels.u8_and(n, end - n, end - n, 1);
    assert.deepEqual([...bytes.subarray(0, n + 2)], [9, ...Array(n).fill(1), 9]);
    kernels.u8_xor(n, 1, 1, end - n);
    assert.deepEqual([...bytes.subarray(end - n)], Array(n).fill(0));
  }
});
