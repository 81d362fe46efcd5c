import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../../test/support/backend.ts";
import { noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";

const complex = (shape: number[], seed = 1): tf.Tensor => {
  const size = tf.util.sizeFromShape(shape);
  return tf.complex(tf.tensor(noise(size, seed), shape), tf.tensor(noise(size, seed + 1), shape));
};

/** [real parts, imaginary parts] stacked, which both backends can read. */
const parts = (x: tf.Tensor): tf.Tensor => tf.stack([tf.real(x), tf.imag(x)]);

test("complex sums, products, casts and moves equal the cpu backend", async () => {
  await useKernels();
  const cases: (() => tf.Tensor)[] = [
    () => parts(complex([3, 4])),
    () => parts(tf.add(complex([3, 4]), complex([3, 4], 5))),
    () => parts(tf.sub(complex([3, 4]), tf.cast(tf.ones([3, 4]), "complex64"))),
    () => parts(tf.mul(complex([3, 4]), complex([3, 4], 5))),
    () => tf.abs(complex([3, 4])),
    () => tf.cast(complex([5]), "float32"),
    () => parts(tf.concat([complex([2, 3]), complex([2, 1], 5)], 1)),
    () => parts(tf.reshape(complex([3, 4]), [6, 2])),
    () => parts(tf.transpose(complex([3, 4]))),
    () => parts(tf.onesLike(complex([3]))),
  ];
  for (const [i, compute] of cases.entries()) {
    const { cpu, wasm } = await onBoth(compute);
    assert.equal(wasm.length, cpu.length);
    for (let j = 0; j < cpu.length; j++) {
      assert.ok(Math.abs(cpu[j] - wasm[j]) <= 2e-7, `case ${i}, ${j}: ${wasm[j]}, ${cpu[j]}`);
    }
  }
});

test("complex tensors broadcast, and kernels that tfjs' backends lack run on the parts", async () => {
  await useKernels();
  const x = tf.complex([[1, 2], [3, 4]], [[5, 6], [7, 8]]);
  const rows: [tf.Tensor, number[]][] = [
    [tf.add(x, tf.complex([10, 20], [1, 2])), [11, 6, 22, 8, 13, 8, 24, 10]],
    [tf.mul(x, tf.complex([[0], [2]], [[1], [0]])), [-5, 1, -6, 2, 6, 14, 8, 16]],
    [tf.sum(x, 0), [4, 12, 6, 14]],
    [tf.slice(x, [1, 0], [1, 1]), [3, 7]],
    [tf.gather(x, [1]), [3, 7, 4, 8]],
    [tf.reverse(x, 1), [2, 6, 1, 5, 4, 8, 3, 7]],
    [tf.pad(tf.slice(x, 0, 1), [[0, 0], [1, 0]], 9), [9, 0, 1, 5, 2, 6]],
    [tf.neg(x), [-1, -5, -2, -6, -3, -7, -4, -8]],
    [tf.unstack(x)[1], [3, 7, 4, 8]],
  ];
  for (const [y, expected] of rows) assert.deepEqual([...await take(y)], expected);
});

test("abs of a complex number neither overflows nor vanishes", async () => {
  await useKernels();
  const x = tf.complex([3e38, 3e-40, 0, -0], [1e38, 4e-40, 0, Infinity]);
  const y = await take(tf.abs(x));
  const expected = [Math.hypot(3e38, 1e38), Math.hypot(3e-40, 4e-40), 0, Infinity];
  for (const [i, value] of expected.entries()) {
    assert.ok(Object.is(y[i], value) || Math.abs(y[i] - value) <= value * 2 ** -23 + 2 ** -148);
  }
});

test("fft and ifft of any length are the sums of the definition, in double precision", async () => {
  await useKernels();
  for (const n of [1, 2, 3, 4, 5, 7, 8, 12, 16, 31, 37, 64, 82, 100, 210, 336]) {
    const [re, im] = [noise(2 * n, 3), noise(2 * n, 4)];
    for (const [op, sign] of [[tf.spectral.fft, -1], [tf.spectral.ifft, 1]] as const) {
      const y = await take(op(tf.complex(tf.tensor2d(re, [2, n]), tf.tensor2d(im, [2, n]))));
      for (let row = 0; row < 2; row++) {
        for (let k = 0; k < n; k++) {
          let [a, b] = [0, 0];
          for (let j = 0; j < n; j++) {
            const angle = sign * 2 * Math.PI * (j * k % n) / n;
            const [c, s] = [Math.cos(angle), Math.sin(angle)];
            a += re[row * n + j] * c - im[row * n + j] * s;
            b += re[row * n + j] * s + im[row * n + j] * c;
          }
          const scale = sign > 0 ? n : 1;
          const at = 2 * (row * n + k);
          const error = Math.hypot(y[at] - a / scale, y[at + 1] - b / scale);
          assert.ok(error <= 2 ** -24 * (Math.hypot(a, b) / scale) + 1e-13 * n, `${n}: ${error}`);
        }
      }
    }
  }
});

test("rfft and irfft are inverse to each other", async () => {
  await useKernels();
  const x = noise(3 * 96);
  const back = await take(tf.spectral.irfft(tf.spectral.rfft(tf.tensor2d(x, [3, 96]))));
  for (let i = 0; i < x.length; i++) assert.ok(Math.abs(back[i] - x[i]) < 5e-7);
});

test("complex tensors leave nothing behind, and their parts outlive them", async () => {
  await useKernels();
  const state = (): number[] => [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  const before = state();
  const x = tf.tensor1d([1, 2]);
  const c = tf.complex(x, x);
  const [real, same] = [tf.real(c), tf.clone(c)];
  tf.dispose([x, c]);
  assert.deepEqual([...await take(real)], [1, 2]);
  assert.deepEqual([...await take(same)], [1, 1, 2, 2]);
  tf.tidy(() => {
    tf.spectral.irfft(tf.spectral.rfft(tf.ones([2, 6])));
    tf.mul(complex([4]), complex([4]));
  });
  assert.deepEqual(state(), before);
});

test("a complex tensor of the wasm backend is read by another backend", async () => {
  await useKernels();
  const c = tf.complex([1, 2], [3, 4]);
  await useBackend("cpu");
  assert.deepEqual([...await take(c)], [1, 3, 2, 4]);
});
