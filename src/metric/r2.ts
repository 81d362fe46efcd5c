/** Coefficient of determination. */
import * as tf from "../tensor/tf.ts";
import type { Metric } from "./metric.ts";
import { seriesMetric } from "./series.ts";

/** Added to the total sum of squares, so that a constant target has a value. */
const EPSILON = 1e-6;

/**
 * Coefficient of determination per series over time axis 1, averaged over the series:
 *
 *     1 - sum (t - p)^2 / (sum (t - mean t)^2 + 1e-6)
 *
 * Masked cells are left out of every sum; a series with fewer than two valid cells does not count.
 * Where a sample is a single number, the samples of the whole set are the one series.
 */
export function r2(): Metric {
  return seriesMetric("r2", {
    onDevice: ({ residual, tt }) => tf.sub(1, tf.div(residual, tf.add(tt, EPSILON))),
    onHost: ({ residual, tt }) => 1 - residual / (tt + EPSILON),
  });
}
