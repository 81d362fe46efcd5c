/**
 * What a loss is: a sum over items and their number, never a mean, so that masked, ragged,
 * accumulated and sharded batches add up to the loss of one big batch.
 */
import type * as tf from "../tensor/tf.ts";

/** The loss of a batch: mean = sum / count. */
export interface LossResult {
  /** Differentiable scalar: the sum over the valid items. */
  readonly sum: tf.Scalar;
  /** How many items the sum covers: a number when the host knows it, else a scalar tensor. */
  readonly count: tf.Scalar | number;
}

/**
 * A loss: prediction and target of equal shape (class scores and labels for classification), and
 * an optional mask that broadcasts to the target, 1 where an item counts and 0 where it does not.
 * Runs inside a gradient tape; what it makes is disposed for it.
 */
export type Loss = (prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor) => LossResult;
