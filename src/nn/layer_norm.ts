import * as tf from "../tensor/tf.ts";
import { differentiable, isFused, runKernel } from "./fused.ts";

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
  if (isFusedNorm(x, gain, bias)) return fusedNorm(x, gain, bias, eps);
  const centered = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centered), -1, true);
  const normed = tf.mul(centered, tf.rsqrt(tf.add(variance, eps)));
  return tf.add(tf.mul(normed, gain), bias);
}

/**
 * Root-mean-square normalisation over the last axis: x / sqrt(mean(x^2) + eps) * gain (Zhang and
 * Sennrich 2019; torch's `rms_norm`, whose eps is that of float32).
 *
 * @param gain [features].
 */
export function rmsNorm(x: tf.Tensor, gain: tf.Tensor, eps: number = 2 ** -23): tf.Tensor {
  if (isFusedNorm(x, gain)) return fusedNorm(x, gain, undefined, eps);
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps));
  return tf.mul(tf.mul(x, scale), gain);
}

function isFusedNorm(x: tf.Tensor, gain: tf.Tensor, bias?: tf.Tensor): boolean {
  const isRow = (t: tf.Tensor): boolean => t.rank === 1 && t.shape[0] === x.shape[x.rank - 1];
  return x.rank > 0 && isRow(gain) && (bias === undefined || isRow(bias)) &&
    isFused("DownhillNorm", x, gain, bias);
}

function fusedNorm(
  x: tf.Tensor,
  gain: tf.Tensor,
  bias: tf.Tensor | undefined,
  eps: number,
): tf.Tensor {
  const isCentred = bias !== undefined;
  return differentiable(
    isCentred ? [x, gain, bias] : [x, gain],
    () => {
      const [y, stats] = runKernel("DownhillNorm", { x, gain, bias }, { eps });
      return [y, x, gain, stats];
    },
    (dy, x, gain, stats) => runKernel("DownhillNormGrad", { x, gain, stats, dy }, { isCentred }),
  );
}
