import { ConfigError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";

/** What {@link batchNorm} is given beside its input; every tensor is [features]. */
export interface BatchNormOptions {
  readonly gain: tf.Tensor;
  readonly bias: tf.Tensor;
  /** Running mean, assigned while training. */
  readonly mean: tf.Variable;
  /** Running variance, assigned while training. */
  readonly variance: tf.Variable;
  readonly training: boolean;
  /** Weight of the new batch in the running averages. @default 0.1 */
  readonly momentum?: number;
  /** @default 1e-5 */
  readonly eps?: number;
}

/**
 * Batch normalisation of the last axis over all others (Ioffe and Szegedy 2015; torch's rules).
 *
 * While training: (x - m) / sqrt(v + eps) * gain + bias with the batch's mean m and population
 * variance v over its n rows, and
 *
 *     mean     <- (1 - momentum) mean     + momentum m
 *     variance <- (1 - momentum) variance + momentum v n / (n - 1)
 *
 * Otherwise the running averages take the place of m and v, and nothing is assigned.
 *
 * @throws {ConfigError} While training on a single row, which has no variance.
 */
export function batchNorm(x: tf.Tensor, options: BatchNormOptions): tf.Tensor {
  const { gain, bias, mean, variance, training, momentum = 0.1, eps = 1e-5 } = options;
  const features = x.shape[x.rank - 1];
  const rows: tf.Tensor = x.rank === 2 ? x : tf.reshape(x, [-1, features]);
  if (!training) {
    const scale = tf.mul(gain, tf.rsqrt(tf.add(variance, eps)));
    const y = tf.add(tf.mul(tf.sub(rows, mean), scale), bias);
    return tf.reshape(y, x.shape);
  }
  const n = rows.shape[0];
  if (n < 2) {
    throw new ConfigError(
      "",
      `batchNorm: needs at least 2 rows while training, received shape ${show(x.shape)}`,
    );
  }
  const batchMean = tf.mean(rows, 0);
  const centered = tf.sub(rows, batchMean);
  const batchVariance = tf.mean(tf.square(centered), 0);
  tf.tidy(() => {
    const move = (running: tf.Variable, value: tf.Tensor, weight: number) =>
      running.assign(tf.add(tf.mul(running, 1 - momentum), tf.mul(value, weight)));
    move(mean, batchMean, momentum);
    move(variance, batchVariance, momentum * n / (n - 1));
  });
  const scale = tf.mul(gain, tf.rsqrt(tf.add(batchVariance, eps)));
  return tf.reshape(tf.add(tf.mul(centered, scale), bias), x.shape);
}
