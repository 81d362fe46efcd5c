import * as tf from "../tensor/tf.ts";

/**
 * y = x W + b over the last axis.
 *
 * `weight` is [in, out] (the transpose of torch's), so that the forward product reads it as it lies.
 *
 * @param x [..., in], any rank >= 1.
 * @param bias [out].
 * @returns [..., out].
 */
export function linear(x: tf.Tensor, weight: tf.Tensor, bias?: tf.Tensor): tf.Tensor {
  const [inputs, outputs] = weight.shape;
  const rows: tf.Tensor = x.rank === 2 ? x : tf.reshape(x, [-1, inputs]);
  const product = tf.matMul(rows, weight);
  const y = bias === undefined ? product : tf.add(product, bias);
  return x.rank === 2 ? y : tf.reshape(y, [...x.shape.slice(0, -1), outputs]);
}
