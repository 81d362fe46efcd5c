import * as tf from "../tensor/tf.ts";

/**
 * Layer normalisation over the last axis: (x - mean) / sqrt(variance + eps) * gain + bias, with the
 * population variance (Ba et al. 2016; torch's `layer_norm`).
 *
 * @param gain [features].
 * @param bias [features].
 */
export function layerNorm(
  x: tf.Tensor,
  gain: tf.Tensor,
  bias: tf.Tensor,
  eps = 1e-5,
): tf.Tensor {
  const centered = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centered), -1, true);
  const normed = tf.mul(centered, tf.rsqrt(tf.add(variance, eps)));
  return tf.add(tf.mul(normed, gain), bias);
}
