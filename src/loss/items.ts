/**
 * Items: what losses and metrics add up.
 *
 * A rule turns prediction, target and mask into one value per item, 0 where an item does not
 * count, and a weight per item. A loss is the sum of the values over the sum of the weights of a
 * batch, a metric the same per sample: both are made from one rule, so they agree.
 *
 * Cells under a 0 mask may hold NaN or infinities. They are replaced before any arithmetic, since
 * 0 * NaN is NaN, forward and in the gradient.
 */
import { ConfigError } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import type { Loss } from "./loss.ts";

/** The items of a batch. */
export interface Items {
  /** One value an item, first axis the batch; 0 where the item does not count. */
  readonly values: tf.Tensor;
  /** One weight an item, 0 where it does not count; absent when every item weighs 1. */
  readonly weights?: tf.Tensor;
}

/** Turns a batch into items. Runs inside tidy. */
export type ItemRule = (prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor) => Items;

/** The loss sum(values) / sum(weights). */
export function lossOf(rule: ItemRule): Loss {
  return (prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor) => {
    const { values, weights } = rule(prediction, target, mask);
    return { sum: total(values), count: weights === undefined ? values.size : total(weights) };
  };
}

/**
 * A rule with one item a cell.
 *
 * @param error The value of a cell; must be 0 with gradient 0 at prediction = target = 1, which is
 * what cells that do not count are replaced by.
 * @param keep Says which targets count beside the mask.
 */
export function elementwise(
  error: (prediction: tf.Tensor, target: tf.Tensor) => tf.Tensor,
  keep?: (target: tf.Tensor) => tf.Tensor,
): ItemRule {
  return (prediction, target, mask) => {
    requireEqualShapes(prediction, target);
    const t = target.dtype === "float32" ? target : tf.cast(target, "float32");
    const valid = both(expandMask(mask, target.shape), keep?.(t));
    if (valid === undefined) return { values: error(prediction, t) };
    const ones = tf.onesLike(t);
    const values = error(tf.where(valid, prediction, ones), tf.where(valid, t, ones));
    return { values, weights: tf.cast(valid, "float32") };
  };
}

/**
 * `rule` with targets equal to `nullValue` left out: NaN means NaN targets, a number those within
 * 5e-5 + 1e-5 * |nullValue| of it.
 */
export function withoutNulls(rule: ItemRule, nullValue: number | undefined): ItemRule {
  if (nullValue === undefined) return rule;
  const radius = 5e-5 + 1e-5 * Math.abs(nullValue);
  return (prediction, target, mask) => {
    const present = Number.isNaN(nullValue)
      ? tf.logicalNot(tf.isNaN(target))
      : tf.greater(tf.abs(tf.sub(target, nullValue)), radius);
    return rule(prediction, target, both(expandMask(mask, target.shape), present));
  };
}

/** The mask as bool in the target's shape. */
export function expandMask(
  mask: tf.Tensor | undefined,
  shape: readonly number[],
): tf.Tensor | undefined {
  if (mask === undefined) return undefined;
  if (!broadcasts(mask.shape, shape)) {
    throw new ConfigError(
      "mask",
      `must broadcast to the target's shape ${brackets(shape)}, received ${brackets(mask.shape)}`,
    );
  }
  const bool = mask.dtype === "bool" ? mask : tf.notEqual(mask, tf.scalar(0, mask.dtype));
  return tf.broadcastTo(bool, [...shape]);
}

/** The logical and of the masks that are there. */
export function both(a: tf.Tensor | undefined, b: tf.Tensor | undefined): tf.Tensor | undefined {
  return a === undefined ? b : b === undefined ? a : tf.logicalAnd(a, b);
}

/** |x| with gradient sign(x), so 0 at 0 (tfjs' own has -1 there). */
export function abs(x: tf.Tensor): tf.Tensor {
  return tf.customGrad((value, save) => {
    const v = value as tf.Tensor;
    (save as tf.GradSaveFunc)([v]);
    return {
      value: tf.abs(v),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.mul(dy, tf.sign(saved[0])),
    };
  })(x);
}

/** Sums over all but the first axis: [batch]. */
export function sampleSums(x: tf.Tensor): tf.Tensor1D {
  if (x.rank === 1) return x as tf.Tensor1D;
  if (x.rank === 2) return tf.sum(x, 1);
  const [batch, ...rest] = x.shape;
  return tf.sum(tf.reshape(x, [batch, rest.reduce((a, b) => a * b, 1)]), 1);
}

/**
 * The sum of everything, per sample first and then over samples, which keeps rounding small. Its
 * gradient, dy in every cell, is one op instead of one for each of the two sums and the reshape.
 */
export function total(x: tf.Tensor): tf.Scalar {
  return tf.customGrad((value) => ({
    value: tf.sum(sampleSums(value as tf.Tensor)),
    gradFunc: (dy: tf.Tensor) => tf.broadcastTo(dy, x.shape),
  }))(x) as tf.Scalar;
}

/** Refuses a prediction that would be broadcast against the target, or has no batch axis. */
export function requireEqualShapes(prediction: tf.Tensor, target: tf.Tensor): void {
  if (prediction.rank === 0 || !tf.util.arraysEqual(prediction.shape, target.shape)) {
    const rule = prediction.rank === 0 && target.rank === 0
      ? "must have a batch axis"
      : `must have the target's shape ${brackets(target.shape)}`;
    throw new ConfigError("prediction", `${rule}, received ${brackets(prediction.shape)}`);
  }
}

/** A shape as it is quoted in an error: `[2, 3]`. */
export function brackets(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

function broadcasts(from: readonly number[], to: readonly number[]): boolean {
  const skip = to.length - from.length;
  return skip >= 0 && from.every((size, i) => size === 1 || size === to[skip + i]);
}
