/** Cross-entropy of class scores against integer labels. */
import { ConfigError } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import { both, brackets, expandMask, type ItemRule, lossOf } from "./items.ts";
import type { Loss } from "./loss.ts";

/** Options of {@link crossEntropy}, torch's names in camelCase. */
export interface CrossEntropyOptions {
  /** Share of the target spread evenly over all classes, in [0, 1]. @default {0} */
  readonly labelSmoothing?: number;
  /** Labels of this value do not count. @default {-100} */
  readonly ignoreIndex?: number;
  /** One factor a class. @default all 1 */
  readonly weight?: readonly number[];
}

/** One item a label; its weight is the label's class weight. */
export function crossEntropyItems(options: CrossEntropyOptions = {}): ItemRule {
  const { labelSmoothing = 0, ignoreIndex = -100, weight } = options;
  return (prediction, target, mask) => {
    const classes = requireScores(prediction, target);
    if (weight !== undefined && weight.length !== classes) {
      throw new ConfigError(
        "weight",
        `must have one number for each of the ${classes} classes, received ${weight.length}`,
      );
    }
    const masked = expandMask(mask, target.shape);
    let labels = tf.cast(target, "int32");
    const valid = both(masked, tf.notEqual(labels, tf.scalar(ignoreIndex, "int32"))) as tf.Tensor;
    if (masked !== undefined || (ignoreIndex >= 0 && ignoreIndex < classes)) {
      labels = tf.where(valid, labels, tf.scalar(-1, "int32"));
    }
    const scores = masked === undefined
      ? prediction
      : tf.where(tf.expandDims(masked, -1), prediction, tf.scalar(0));

    const isLabel = tf.equal(
      tf.expandDims(labels, -1),
      tf.range(0, classes, 1, "int32"),
    );
    const logProbabilities = tf.logSoftmax(scores);
    const counts = tf.cast(valid, "float32");
    const hits = tf.sum(tf.cast(isLabel, "float32"), -1);
    const perClass: tf.Tensor | undefined = weight && tf.tensor1d([...weight]);
    const weigh = (x: tf.Tensor): tf.Tensor => perClass === undefined ? x : tf.mul(x, perClass);

    // Selected, not multiplied: a score of -Infinity for another class must not become NaN.
    let values = tf.neg(
      tf.sum(tf.where(isLabel, weigh(logProbabilities), tf.scalar(0)), -1),
    );
    if (labelSmoothing > 0) {
      const spread = tf.mul(tf.neg(tf.sum(weigh(logProbabilities), -1)), counts);
      values = tf.add(
        tf.mul(values, 1 - labelSmoothing),
        tf.mul(spread, labelSmoothing / classes),
      );
    }
    // A label that counts and is no class: counts - hits is 1, so the loss divides by 0.
    values = tf.div(values, tf.add(tf.sub(hits, counts), 1));
    const weights = perClass === undefined
      ? counts
      : tf.sum(tf.where(isLabel, perClass, tf.scalar(0)), -1);
    return { values, weights };
  };
}

/**
 * Cross-entropy (torch's `CrossEntropyLoss` with class indices): scores [..., classes] before
 * softmax, integer labels [...]. With q = log softmax(scores), w the class weights, K classes,
 * s the label smoothing and y the label:
 *
 *     (1 - s) * (-w_y q_y) + s / K * sum_c (-w_c q_c)
 *
 * summed over the labels that count and divided by the sum of their w_y. The classes are the LAST
 * axis, where torch wants axis 1. A label that is neither a class nor `ignoreIndex` makes the loss
 * NaN or infinite (labels are not read back to check them). The count is always a tensor.
 */
export function crossEntropy(options: CrossEntropyOptions = {}): Loss {
  return lossOf(crossEntropyItems(options));
}

/** Checks that scores have the labels' shape and one axis more; the number of classes. */
function requireScores(prediction: tf.Tensor, target: tf.Tensor): number {
  const leading = prediction.shape.slice(0, -1);
  if (target.rank === 0 || !tf.util.arraysEqual(leading, target.shape)) {
    throw new ConfigError(
      "prediction",
      `must have the shape of the labels and a last axis of classes, [${
        [...target.shape, "classes"].join(", ")
      }], received ${brackets(prediction.shape)}`,
    );
  }
  return prediction.shape[prediction.rank - 1];
}
