import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { noise, useKernels } from "../../test/support/kernels.ts";
import * as tf from "../tensor/tf.ts";
import { irfft, rfft, type Spectrum } from "./spectral.ts";

const BACKENDS = [["cpu", () => useBackend("cpu")], ["wasm", () => useKernels()]] as const;
const LENGTHS = [1, 2, 5, 8, 12, 96];

/** The definition in double precision: [real, imag]. */
function oracle(x: ArrayLike<number>): [number[], number[]] {
  const n = x.length;
  const sum = (k: number, f: (angle: number) => number): number =>
    Array.from(x).reduce((total, v, j) => total + v * f(2 * Math.PI * (j * k % n) / n), 0);
  const bins = Array.from({ length: Math.floor(n / 2) + 1 }, (_, k) => k);
  return [bins.map((k) => sum(k, Math.cos)), bins.map((k) => -sum(k, Math.sin))];
}

async function assertClose(actual: tf.Tensor, expected: number[], what: string): Promise<void> {
  const values = await actual.data();
  assert.equal(values.length, expected.length, what);
  expected.forEach((v, i) =>
    assert.ok(Math.abs(values[i] - v) < 3e-5, `${what} ${i}: ${values[i]}, ${v}`)
  );
}

test("rfft is the sum of its definition, and irfft its inverse, for even and odd lengths", async () => {
  for (const [backend, use] of BACKENDS) {
    await use();
    for (const n of LENGTHS) {
      const rows = [noise(n, 1), noise(n, 2)];
      const x = tf.tensor2d(rows.map((row) => [...row]));
      const spectrum = rfft(x);
      const exact = rows.map(oracle);
      await assertClose(spectrum.real, exact.flatMap(([real]) => real), `${backend} real of ${n}`);
      await assertClose(
        spectrum.imag,
        exact.flatMap(([, imag]) => imag),
        `${backend} imag of ${n}`,
      );
      await assertClose(
        irfft(spectrum, n),
        rows.flatMap((row) => [...row]),
        `${backend} ${n} back`,
      );
    }
  }
});

test("the gradients of rfft and irfft are their transposed maps, in double precision", async () => {
  for (const [backend, use] of BACKENDS) {
    await use();
    for (const n of LENGTHS) {
      const m = Math.floor(n / 2) + 1;
      const x = tf.tensor1d(noise(n, 1));
      const [a, b] = [noise(m, 2), noise(m, 3)];
      const value = ({ real, imag }: Spectrum): tf.Tensor =>
        tf.add(tf.sum(tf.mul(real, tf.tensor1d(a))), tf.sum(tf.mul(imag, tf.tensor1d(b))));
      // Linear maps: column j of the matrix is the transform of the unit vector j.
      const units = Array.from(
        { length: n },
        (_, j) => Array.from({ length: n }, (_, i) => +(i === j)),
      );
      const columns = units.map(oracle);
      const dot = (p: ArrayLike<number>, q: readonly number[]): number =>
        q.reduce((sum, v, k) => sum + v * p[k], 0);
      await assertClose(
        tf.grad((x) => value(rfft(x)))(x),
        columns.map(([real, imag]) => dot(a, real) + dot(b, imag)),
        `${backend} rfft ${n}`,
      );
      const grads = tf.grads((real, imag) => tf.sum(tf.mul(irfft({ real, imag }, n), x)));
      const [dReal, dImag] = grads([tf.tensor1d(a), tf.tensor1d(b)]);
      const [real, imag] = oracle(await x.data());
      const weight = (k: number): number => (k === 0 || 2 * k === n ? 1 : 2) / n;
      await assertClose(dReal, real.map((v, k) => v * weight(k)), `${backend} irfft real ${n}`);
      await assertClose(dImag, imag.map((v, k) => v * weight(k)), `${backend} irfft imag ${n}`);
    }
  }
});

test("irfft refuses a length that the spectrum does not have", async () => {
  await useBackend("cpu");
  assert.throws(() => irfft({ real: tf.ones([3]), imag: tf.ones([3]) }, 7), {
    message: "irfft: signals of length n have floor(n / 2) + 1 = 3 frequencies, received n = 7",
  });
  assert.throws(() => rfft(tf.scalar(1)), {
    message: "rfft takes signals along an axis, received a scalar",
  });
});
