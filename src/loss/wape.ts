/** Weighted absolute percentage error. */
import * as tf from "../tensor/tf.ts";
import { abs, expandMask, type Items, lossOf, requireEqualShapes } from "./items.ts";
import type { Loss } from "./loss.ts";

/** Added to the divisor, in the target's units, so that an all-zero series has a value. */
const EPSILON = 5e-5;

/** sum_time |p - t| / (sum_time |t| + 5e-5) per series; time is axis 1, a rank-1 target is one step a sample. */
export function wapeItems(prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor): Items {
  requireEqualShapes(prediction, target);
  const valid = expandMask(mask, target.shape);
  const zeros = tf.zerosLike(prediction);
  const p = valid === undefined ? prediction : tf.where(valid, prediction, zeros);
  const t = valid === undefined
    ? tf.cast(target, "float32")
    : tf.where(valid, tf.cast(target, "float32"), zeros);
  const overTime = (x: tf.Tensor): tf.Tensor => x.rank === 1 ? x : tf.sum(x, 1);
  const values = tf.div(
    overTime(abs(tf.sub(p, t))),
    tf.add(overTime(tf.abs(t)), EPSILON),
  );
  if (valid === undefined) return { values };
  const present = overTime(tf.cast(valid, "float32"));
  return { values, weights: tf.cast(tf.greater(present, 0), "float32") };
}

/**
 * Weighted absolute percentage error, as a fraction:
 *
 *     mean over series of  sum_time |p - t| / (sum_time |t| + 5e-5)
 *
 * An item is a series, that is a sample and channel; a series without a valid cell does not count.
 */
export const wape: Loss = lossOf(wapeItems);
