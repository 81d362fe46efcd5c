import { ConfigError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import { differentiable, isFused, runKernel } from "./fused.ts";

/** Options of {@link softmaxCrossEntropy}. */
export interface SoftmaxCrossEntropyOptions {
  /** Items with this label have loss 0. @default {-100} */
  readonly ignoreIndex?: number;
  /** Share of the target that is spread evenly over all classes, in [0, 1]. @default {0} */
  readonly labelSmoothing?: number;
}

/**
 * Cross-entropy of scores before the softmax, one number an item (torch's `cross_entropy` with
 * `reduction="none"`, but that the classes are the last axis).
 *
 *     (1 - s) l_y + s / K * sum_c l_c,   l_c = log(sum_j exp(x_j)) - x_c
 *
 * with label y, K classes and label smoothing s. A label that is neither a class nor `ignoreIndex`
 * makes its loss and its gradient NaN or infinite (labels are not read back to check them).
 *
 * @param scores [..., classes].
 * @param labels Integers, [...].
 * @returns [...].
 * @throws {ConfigError} If the shapes do not fit, or `labelSmoothing` is not in [0, 1].
 */
export function softmaxCrossEntropy(
  scores: tf.Tensor,
  labels: tf.Tensor,
  { ignoreIndex = -100, labelSmoothing = 0 }: SoftmaxCrossEntropyOptions = {},
): tf.Tensor {
  const classes = scores.shape[scores.rank - 1];
  if (scores.rank === 0 || !tf.util.arraysEqual(scores.shape.slice(0, -1), labels.shape)) {
    throw new ConfigError(
      "",
      `softmaxCrossEntropy: labels must have the shape of scores without the classes, received shapes ${
        show(scores.shape)
      } and ${show(labels.shape)}`,
    );
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ConfigError(
      "",
      `softmaxCrossEntropy: labelSmoothing must be from 0 to 1, received ${show(labelSmoothing)}`,
    );
  }
  const integers = labels.dtype === "int32" ? labels : tf.cast(labels, "int32");
  if (isFused("DownhillCrossEntropy", scores) && classes > 0) {
    const rule = { ignoreIndex, labelSmoothing };
    return differentiable(
      [scores],
      () => {
        const inputs = { scores, labels: integers };
        const [loss, stats] = runKernel("DownhillCrossEntropy", inputs, rule);
        return [loss, scores, integers, stats];
      },
      (dy, scores, labels, stats) =>
        runKernel("DownhillCrossEntropyGrad", { scores, labels, stats, dy }, rule),
    );
  }
  const logProbabilities = tf.logSoftmax(scores);
  const isLabel = tf.equal(tf.expandDims(integers, -1), tf.range(0, classes, 1, "int32"));
  // Selected, not multiplied: a score of -Infinity for another class must not become NaN.
  let loss = tf.neg(tf.sum(tf.where(isLabel, logProbabilities, tf.scalar(0)), -1));
  if (labelSmoothing > 0) {
    loss = tf.sub(
      tf.mul(loss, 1 - labelSmoothing),
      tf.mul(tf.mean(logProbabilities, -1), labelSmoothing),
    );
  }
  // Divided by 0 where the label is no class.
  const hits = tf.sum(tf.cast(isLabel, "float32"), -1);
  const isCounted = tf.notEqual(integers, tf.scalar(ignoreIndex, "int32"));
  const divisor = tf.where(isCounted, hits, tf.scalar(1));
  return tf.where(isCounted, tf.div(loss, divisor), tf.scalar(0));
}
