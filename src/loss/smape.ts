/** Symmetric mean absolute percentage error. */
import * as tf from "../tensor/tf.ts";
import { abs, elementwise, type ItemRule, lossOf } from "./items.ts";
import type { Loss } from "./loss.ts";

/** 2 |p - t| / (|p| + |t|) per cell, 0 where both are 0. */
export const smapeItems: ItemRule = elementwise((p, t) => {
  const magnitude = tf.add(abs(p), tf.abs(t));
  // Where both are 0 the error is 0 too: adding 1 to the divisor leaves 0 and a finite gradient.
  return tf.div(tf.mul(abs(tf.sub(p, t)), 2), tf.add(magnitude, isZero(magnitude)));
});

/**
 * Symmetric mean absolute percentage error, as a fraction in [0, 2]:
 * sum 2 |p - t| / (|p| + |t|) / number of cells that count; 0 / 0 is 0.
 */
export const smape: Loss = lossOf(smapeItems);

/** 1 where x is 0, else 0; a constant of the gradient. */
function isZero(x: tf.Tensor): tf.Tensor {
  return tf.customGrad((value) => ({
    value: tf.cast(tf.equal(value as tf.Tensor, 0), "float32"),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }))(x);
}
