/** The sums of several metrics side by side, as totals are kept. */
import { ConfigError, show } from "../core/errors.ts";
import { brackets } from "../loss/items.ts";
import * as tf from "../tensor/tf.ts";
import type { Metric } from "./metric.ts";

/**
 * The sums of every sample for all metrics: [batch, sizes of all]. Runs inside tidy.
 *
 * @throws {ConfigError} If a metric gives another number of sums than its `size`, or of rows: its
 * sums would be taken for those of the next one.
 */
export function metricSums(
  metrics: readonly Metric[],
  prediction: tf.Tensor,
  target: tf.Tensor,
  mask?: tf.Tensor,
): tf.Tensor {
  const batch = target.shape[0] ?? 1;
  const sums = metrics.map((metric) => {
    const found: unknown = metric.update(prediction, target, mask);
    const wanted = [batch, metric.size];
    if (found instanceof tf.Tensor && tf.util.arraysEqual(found.shape, wanted)) return found;
    throw new ConfigError(
      "metrics",
      `update of ${metric.name} must return a tensor [batch, size] = ${
        brackets(wanted)
      }, received ${found instanceof tf.Tensor ? brackets(found.shape) : show(found)}`,
    );
  });
  return sums.length === 0 ? tf.zeros([0, 0]) : tf.concat(sums, 1);
}
