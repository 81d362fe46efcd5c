import { ConfigError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import { hasKernel, runKernel } from "./fused.ts";

/**
 * Centred moving average over time; the first and last value are repeated beyond the ends.
 *
 *     y[t] = (x[t - h] + ... + x[t + h]) / kernel,   h = (kernel - 1) / 2
 *
 * @param x [batch, time, channels].
 * @param kernel An odd integer >= 1.
 * @returns The shape of `x`.
 * @throws {ConfigError} If `kernel` is even or no positive integer, or `x` is not of rank 3.
 */
export function movingAverage(x: tf.Tensor, kernel: number): tf.Tensor {
  if (!Number.isInteger(kernel) || kernel < 1 || kernel % 2 === 0) {
    throw new ConfigError(
      "",
      `movingAverage: kernel must be an odd integer >= 1, received ${show(kernel)}`,
    );
  }
  if (x.rank !== 3) {
    throw new ConfigError(
      "",
      `movingAverage: x must be [batch, time, channels], received shape ${show(x.shape)}`,
    );
  }
  if (kernel === 1) return x;
  const [batch, time, channels] = x.shape;
  const half = (kernel - 1) / 2;
  if (hasKernel(KERNEL, x)) return runKernel(KERNEL, { x }, { half })[0];
  const end = (t: number) => tf.tile(tf.slice(x, [0, t, 0], [batch, 1, channels]), [1, half, 1]);
  const padded = tf.concat([end(0), x, end(time - 1)], 1);
  const image: tf.Tensor4D = tf.reshape(padded, [batch, time + 2 * half, 1, channels]);
  return tf.reshape(tf.avgPool(image, [kernel, 1], 1, "valid"), x.shape);
}

const KERNEL = "DownhillMovingAverage";
const TRANSPOSE = "DownhillMovingAverageGrad";

for (const [kernelName, gradient] of [[KERNEL, TRANSPOSE], [TRANSPOSE, KERNEL]]) {
  tf.registerGradient({
    kernelName,
    gradFunc: (dy, _saved, attributes) => ({
      x: () => runKernel(gradient, { x: dy as tf.Tensor }, attributes)[0],
    }),
  });
}
