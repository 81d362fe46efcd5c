/** Share of right answers. */
import { ConfigError } from "../core/errors.ts";
import { both, brackets, expandMask, type Items } from "../loss/items.ts";
import * as tf from "../tensor/tf.ts";
import { meanMetric } from "./mean.ts";
import type { Metric } from "./metric.ts";

/**
 * Accuracy: labels met / labels that count.
 *
 * A prediction with one axis more than the labels holds class scores, and the class is the largest
 * (the first of equals); one of the labels' shape holds classes. Labels equal to `ignoreIndex`
 * (-100, as in cross-entropy) do not count.
 */
export function accuracy(options: { readonly ignoreIndex?: number } = {}): Metric {
  const { ignoreIndex = -100 } = options;
  return meanMetric("accuracy", (prediction, target, mask) => {
    const classes = toClasses(prediction, target);
    const labels = tf.cast(target, "int32");
    const valid = both(
      expandMask(mask, target.shape),
      tf.notEqual(labels, tf.scalar(ignoreIndex, "int32")),
    ) as tf.Tensor;
    return {
      values: tf.cast(tf.logicalAnd(tf.equal(classes, labels), valid), "float32"),
      weights: tf.cast(valid, "float32"),
    } satisfies Items;
  }, { higherIsBetter: true, needsLabels: true });
}

function toClasses(prediction: tf.Tensor, target: tf.Tensor): tf.Tensor {
  if (target.rank > 0) {
    if (tf.util.arraysEqual(prediction.shape, target.shape)) return tf.cast(prediction, "int32");
    if (tf.util.arraysEqual(prediction.shape.slice(0, -1), target.shape)) {
      return tf.argMax(prediction, -1);
    }
  }
  throw new ConfigError(
    "prediction",
    `must have the labels' shape ${brackets(target.shape)}, or a last axis of classes more, ` +
      `received ${brackets(prediction.shape)}`,
  );
}
