/**
 * Metrics with one value a series (a sample and channel, over time axis 1), averaged over series.
 *
 * Where a sample is a single number there is no time axis to look along, so the samples of the
 * whole set are the series: plain sums whose combination waits until the end.
 */
import { expandMask, requireEqualShapes, sampleSums } from "../loss/items.ts";
import * as tf from "../tensor/tf.ts";
import type { Metric } from "./metric.ts";

/** Sums over time of deviations from the series' means; shapes [batch, 1, ...]. */
export interface SeriesMoments {
  /** sum (p - t)^2 */
  readonly residual: tf.Tensor;
  /** sum (p - mean p)^2, sum (t - mean t)^2, sum (p - mean p)(t - mean t) */
  readonly pp: tf.Tensor;
  readonly tt: tf.Tensor;
  readonly pt: tf.Tensor;
}

/** The same moments as numbers, for samples that are single numbers. */
export type Moments = { readonly [K in keyof SeriesMoments]: number };

/** What sets one series metric apart from another: its value on the device and on the host. */
export interface SeriesRule {
  readonly onDevice: (moments: SeriesMoments) => tf.Tensor;
  readonly onHost: (moments: Moments) => number;
}

/**
 * The mean of `rule` over the series with at least two valid cells.
 *
 * Sums: [sum of series values, series, n, sum p, sum t, sum (p - t)^2, sum p^2, sum t^2, sum p t], the
 * last seven only where a sample is a single number.
 */
export function seriesMetric(name: string, rule: SeriesRule): Metric {
  return {
    name,
    size: 9,
    higherIsBetter: true,
    perHorizon: false,
    update(prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor): tf.Tensor2D {
      requireEqualShapes(prediction, target);
      const batch = target.shape[0];
      const valid = expandMask(mask, target.shape);
      const zeros = tf.zerosLike(prediction);
      const clean = (x: tf.Tensor): tf.Tensor =>
        valid === undefined ? x : tf.where(valid, x, zeros);
      const p = clean(prediction);
      const t = clean(tf.cast(target, "float32"));
      const present = valid === undefined ? tf.onesLike(p) : tf.cast(valid, "float32");
      const none = tf.zeros([batch]);
      const columns = target.size === batch
        ? [
          none,
          none,
          present,
          p,
          t,
          tf.squaredDifference(p, t),
          tf.square(p),
          tf.square(t),
          tf.mul(p, t),
        ]
        : [...overSeries(p, t, present, rule), ...new Array<tf.Tensor>(7).fill(none)];
      return tf.stack(columns.map((x) => tf.reshape(x, [batch])), 1) as tf.Tensor2D;
    },
    finalize([sum, series, n, p, t, residual, p2, t2, pt]: Float64Array): number {
      if (series > 0) return sum / series;
      if (n < 2) return NaN;
      return rule.onHost({
        residual,
        pp: p2 - p * p / n,
        tt: t2 - t * t / n,
        pt: pt - p * t / n,
      });
    },
  };
}

/** Per sample, the sum of the series' values and the number of series that have one. */
function overSeries(
  p: tf.Tensor,
  t: tf.Tensor,
  present: tf.Tensor,
  rule: SeriesRule,
): [tf.Tensor, tf.Tensor] {
  const n = tf.sum(present, 1, true);
  const divisor = tf.maximum(n, 1);
  const deviation = (x: tf.Tensor): tf.Tensor =>
    tf.mul(tf.sub(x, tf.div(tf.sum(x, 1, true), divisor)), present);
  const dp = deviation(p);
  const dt = deviation(t);
  const values = rule.onDevice({
    residual: tf.sum(tf.square(tf.sub(p, t)), 1, true),
    pp: tf.sum(tf.square(dp), 1, true),
    tt: tf.sum(tf.square(dt), 1, true),
    pt: tf.sum(tf.mul(dp, dt), 1, true),
  });
  const counted = tf.greaterEqual(n, 2);
  return [
    sampleSums(tf.where(counted, values, tf.zerosLike(values))),
    sampleSums(tf.cast(counted, "float32")),
  ];
}
