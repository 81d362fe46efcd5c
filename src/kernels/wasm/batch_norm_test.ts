import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, take, ulps, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import { instantiateKernels } from "./module.ts";

test("batchNorm equals double precision for any count of channels", async () => {
  await useKernels();
  for (const channels of [1, 3, 4, 7, 16, 65]) {
    for (
      const [hasScale, hasOffset] of [[true, true], [false, true], [true, false], [false, false]]
    ) {
      const x = noise(11 * channels);
      const [mean, variance, scale, offset] = [2, 3, 4, 5].map((seed) =>
        noise(channels, seed).map((v) => v + 1.5)
      );
      const y = await take(tf.batchNorm(
        tf.tensor2d(x, [11, channels]),
        tf.tensor1d(mean),
        tf.tensor1d(variance),
        hasOffset ? tf.tensor1d(offset) : undefined,
        hasScale ? tf.tensor1d(scale) : undefined,
        0.001,
      ));
      for (let i = 0; i < x.length; i++) {
        const j = i % channels;
        const factor = (hasScale ? scale[j] : 1) / Math.sqrt(variance[j] + 0.001);
        const exact = (x[i] - mean[j]) * factor + (hasOffset ? offset[j] : 0);
        // Relative to the larger term: the sum may cancel.
        const size = Math.max(Math.abs((x[i] - mean[j]) * factor), Math.abs(exact));
        assert.ok(Math.abs(y[i] - exact) <= 4 * 2 ** -24 * size, `${channels}, ${i}: ${y[i]}`);
      }
    }
  }
});

test("batchNorm with statistics of the full shape is tfjs' own", async () => {
  await useKernels();
  const row = (...values: number[]): tf.Tensor2D => tf.tensor2d([values]);
  const y = await take(tf.batchNorm(row(3, 5), row(1, 1), row(4, 1), row(0, 1), row(1, 2), 0));
  for (const [i, exact] of [1, 9].entries()) assert.ok(ulps(y[i], exact) <= 2);
});

test("batchNorm touches nothing past its arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const floats = new Float32Array(memory.buffer);
  floats.fill(2, 256, 512); // mean, factor and offset of 64 channels
  for (let n = 1; n <= 140; n++) {
    floats.fill(5, end / 4 - n);
    floats.fill(7, 512, 700);
    kernels.f32_batch_norm(n, 64, end - 4 * n, 1024, 1024, 1024, 2048);
    assert.deepEqual([...floats.subarray(512, 513 + n)], [...Array(n).fill(8), 7]);
    kernels.f32_batch_norm(n, 64, 2048, 1024, 1024, 1024, end - 4 * n);
  }
});
