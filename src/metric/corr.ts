/** Pearson correlation. */
import * as tf from "../tensor/tf.ts";
import type { Metric } from "./metric.ts";
import { seriesMetric } from "./series.ts";

/**
 * Pearson correlation of prediction and target per series over time axis 1, averaged over the
 * series; with deviations dp = p - mean p and dt = t - mean t:
 *
 *     sum dp dt / (sqrt(sum dp^2) sqrt(sum dt^2))
 *
 * A constant series has correlation 0. Masked cells are left out of every sum; a series with fewer
 * than two valid cells does not count. Where a sample is a single number, the samples of the whole
 * set are the one series.
 */
export function corr(): Metric {
  return seriesMetric("corr", {
    onDevice: ({ pp, tt, pt }) => {
      const norm = tf.mul(tf.sqrt(pp), tf.sqrt(tt));
      // Where a series is constant, pt is 0 and so is 0 / 1.
      return tf.div(pt, tf.add(norm, tf.cast(tf.equal(norm, 0), "float32")));
    },
    onHost: ({ pp, tt, pt }) => pp > 0 && tt > 0 ? pt / (Math.sqrt(pp) * Math.sqrt(tt)) : 0,
  });
}
