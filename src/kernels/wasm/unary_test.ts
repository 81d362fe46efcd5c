import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, take, ulps, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

/** The op, the function in float64, and the largest error in ulp. */
type Row = readonly [string, (x: tf.Tensor) => tf.Tensor, (x: number) => number, number];

const ROWS: readonly Row[] = [
  ["abs", tf.abs, Math.abs, 0],
  ["neg", tf.neg, (x) => -x, 0],
  ["square", tf.square, (x) => x * x, 0.5],
  ["sqrt", tf.sqrt, Math.sqrt, 0.5],
  ["rsqrt", tf.rsqrt, (x) => 1 / Math.sqrt(x), 2],
  ["reciprocal", tf.reciprocal, (x) => 1 / x, 0.5],
  ["ceil", tf.ceil, Math.ceil, 0],
  ["floor", tf.floor, Math.floor, 0],
  ["round", tf.round, roundToEven, 0],
  ["sign", tf.sign, (x) => x > 0 ? 1 : x < 0 ? -1 : 0, 0],
  ["step", (x) => tf.step(x, 0.25), (x) => x > 0 ? 1 : x <= 0 ? 0.25 : x, 0],
  ["relu", tf.relu, (x) => x > 0 ? x : x <= 0 ? 0 : x, 0],
  ["relu6", tf.relu6, (x) => x > 6 ? 6 : x > 0 ? x : x <= 0 ? 0 : x, 0],
  ["leakyRelu", (x) => tf.leakyRelu(x, 0.125), (x) => x < 0 ? x * 0.125 : x, 0.5],
  ["elu", tf.elu, (x) => x >= 0 ? x : Math.expm1(x), 2],
  ["exp", tf.exp, Math.exp, 1.5],
  ["expm1", tf.expm1, Math.expm1, 2],
  ["log", tf.log, Math.log, 1],
  ["log1p", tf.log1p, Math.log1p, 2],
  ["tanh", tf.tanh, Math.tanh, 2.5],
  ["sigmoid", tf.sigmoid, (x) => 1 / (1 + Math.exp(-x)), 2.5],
  ["softplus", tf.softplus, (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), 2.5],
  ["erf", tf.erf, erf, 3.5],
  ["sin", tf.sin, Math.sin, 2],
  ["cos", tf.cos, Math.cos, 2],
  ["pow 1.5", (x) => tf.pow(x, 1.5), (x) => Math.pow(x, 1.5), 1.5],
  ["pow 3", (x) => tf.pow(x, 3), (x) => Math.pow(x, 3), 1.5],
  ["pow 2.5", (x) => tf.pow(x, 2.5), (x) => Math.pow(x, 2.5), 1],
  ["pow -3", (x) => tf.pow(x, -3), (x) => Math.pow(x, -3), 1],
  ["1.5 pow", (x) => tf.pow(1.5, x), (x) => Math.pow(1.5, x), 1],
];

test("unary kernels keep their bounds over all magnitudes, NaN, Inf, -0 and subnormals", async () => {
  await useKernels();
  const values = sweep();
  const x = tf.tensor1d(values);
  for (const [name, op, exact, bound] of ROWS) {
    const y = await take(op(x));
    let worst = 0;
    let at = 0;
    for (let i = 0; i < values.length; i++) {
      const error = ulps(y[i], exact(values[i]));
      if (error > worst) [worst, at] = [error, i];
    }
    const what = `${name}(${values[at]}) = ${y[at]}, exact ${exact(values[at])}: ${worst} ulp`;
    assert.ok(worst <= bound, `${what}, bound ${bound}`);
  }
  x.dispose();
});

test("a unary kernel touches nothing past its arrays, and an element's bits do not depend on its place", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const heap = new Float32Array(memory.buffer);
  const values = noise(67);
  for (const name of ["f32_exp", "f32_log1p", "f32_sin", "f32_tanh"] as const) {
    let whole: number[] = [];
    for (let n = 67; n >= 0; n--) {
      // The source ends with the memory, where a read past it would trap; 7 marks what must stay.
      const [x, y] = [end - 4 * n, 4 * (n % 5 + 1)];
      heap.fill(7, 0, 128);
      heap.set(values.subarray(0, n), x / 4);
      kernels[name](n, x, y, 0);
      const result = [...heap.subarray(y / 4, y / 4 + n)];
      if (n === 67) whole = result;
      assert.deepEqual(result, whole.slice(0, n), `${name} of ${n}`);
      assert.equal(heap[y / 4 - 1], 7);
      assert.equal(heap[y / 4 + n], 7);
    }
  }
});

test("an element's bits do not depend on its neighbours", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = instantiateKernels(memory, false);
  const heap = new Float32Array(memory.buffer);
  for (
    const name of [
      "f32_exp",
      "f32_log",
      "f32_sigmoid",
      "f32_softplus",
      "f32_tanh",
      "f32_erf",
    ] as const
  ) {
    for (const x of noise(200).map((v) => 20 * v)) {
      const first = [[x, x, x, x], [x, 1e4, -1e4, NaN]].map((lanes) => {
        heap.set(lanes);
        kernels[name](4, 0, 64, 0);
        return heap[16];
      });
      assert.equal(first[1], first[0], `${name}(${x})`);
    }
  }
});

test("sin and cos within 2 ulp at every 41st zero below 10^6", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = instantiateKernels(memory, false);
  const heap = new Float32Array(memory.buffer);
  for (const [name, exact, h] of [["f32_sin", Math.sin, 0], ["f32_cos", Math.cos, 0.5]] as const) {
    for (let k = 1; k < 318000; k += 41 * 16) {
      const near = Float32Array.from({ length: 16 }, (_, i) => (k + 41 * i - h) * Math.PI);
      heap.set(near);
      kernels[name](16, 0, 64, 0);
      near.forEach((x, i) => {
        const error = ulps(heap[16 + i], exact(x));
        assert.ok(error <= 2, `${name}(${x}) = ${heap[16 + i]}, exact ${exact(x)}: ${error} ulp`);
      });
    }
  }
});

test("gelu within 4 ulp of the larger of |result| and |x| / 2", () => {
  const memory = new WebAssembly.Memory({ initial: 4 });
  const heap = new Float32Array(memory.buffer);
  const values = sweep().filter((x) => Math.abs(x) < 100).subarray(0, 30000);
  heap.set(values);
  instantiateKernels(memory, false).f32_gelu(values.length, 0, 4 * 32768, 0);
  values.forEach((x, i) => {
    const exact = x / 2 * (1 + erf(x / Math.SQRT2));
    const error = Math.abs(heap[32768 + i] - exact);
    const bound = 4 * 2 ** -23 * Math.max(Math.abs(exact), Math.abs(x) / 2);
    assert.ok(
      error <= Math.max(bound, 2 ** -148),
      `gelu(${x}) = ${heap[32768 + i]}, exact ${exact}`,
    );
  });
});

/** Every float whose bits are a multiple of 20011, a dense part around 1, and the special ones. */
function sweep(): Float32Array {
  const bits: number[] = [];
  for (let b = 0; b < 2 ** 32; b += 20011) bits.push(b);
  for (let b = 0x3d000000; b < 0x42000000; b += 2003) bits.push(b, b + 2 ** 31);
  const floats = new Float32Array(Uint32Array.from(bits).buffer);
  const special = [
    0,
    -0,
    1,
    -1,
    Infinity,
    -Infinity,
    NaN,
    2 ** -149,
    -(2 ** -149),
    0.5,
    2.5,
    88.72,
  ];
  return Float32Array.from([...floats, ...special]);
}

function roundToEven(x: number): number {
  if (!Number.isFinite(x) || Math.abs(x) >= 2 ** 23) return x;
  const down = Math.floor(x);
  const up = x - down > 0.5 || (x - down === 0.5 && down % 2 !== 0);
  const whole = up ? down + 1 : down;
  return whole === 0 && (x < 0 || Object.is(x, -0)) ? -0 : whole;
}

/** The series of positive terms, 2 / sqrt(pi) e^(-x^2) sum 2^n x^(2n + 1) / (2n + 1)!!. */
function erf(x: number): number {
  const size = Math.abs(x);
  if (!(size < 6)) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

test("clipByValue keeps NaN and signed zeros", async () => {
  await useKernels();
  const x = [-Infinity, -2, -1, -0, 0, 0.5, 1, 2, Infinity, NaN, 3];
  const clipped = await take(tf.clipByValue(x, -1, 1));
  assert.deepEqual([...clipped], [-1, -1, -1, -0, 0, 0.5, 1, 1, 1, NaN, 1]);
});
