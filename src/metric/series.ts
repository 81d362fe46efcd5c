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

/** Sums for samples that are single numbers: n, p, t, residual, 3 parts of p p and t t, 4 of p t. */
const MOMENTS = 14;

/**
 * The mean of `rule` over the series with at least two valid cells.
 *
 * Sums: [sum of series values, series], and where a sample is a single number n, sum p, sum t,
 * sum (p - t)^2 and the sums of p p, t t and p t. The last are kept in parts without rounding, each
 * the product of two 12-bit pieces, so that what is left when the means are taken out is right also
 * where these are far larger than the deviations.
 */
export function seriesMetric(name: string, rule: SeriesRule): Metric {
  return {
    name,
    size: 2 + MOMENTS,
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
      const single = target.size === batch;
      const columns = single ? moments(p, t, present) : overSeries(p, t, present, rule);
      const sums = tf.stack(columns.map((x) => tf.reshape(x, [batch])), 1);
      return tf.pad(sums, [[0, 0], single ? [2, 0] : [0, MOMENTS]]) as tf.Tensor2D;
    },
    finalize(totals: Float64Array): number {
      const [sum, series, n, p, t, residual, ...parts] = totals;
      if (series > 0) return sum / series;
      if (n < 2) return NaN;
      return rule.onHost({
        residual,
        pp: scatter(n, parts.slice(0, 3), p, p),
        tt: scatter(n, parts.slice(3, 6), t, t),
        pt: scatter(n, parts.slice(6), p, t),
      });
    },
  };
}

/** The columns of samples that are single numbers. */
function moments(p: tf.Tensor, t: tf.Tensor, present: tf.Tensor): tf.Tensor[] {
  const [ph, pl] = pieces(p);
  const [th, tl] = pieces(t);
  const two = (x: tf.Tensor, y: tf.Tensor): tf.Tensor => tf.mul(tf.mul(x, y), 2);
  return [
    ...[present, p, t, tf.squaredDifference(p, t)],
    ...[tf.square(ph), two(ph, pl), tf.square(pl)],
    ...[tf.square(th), two(th, tl), tf.square(tl)],
    ...[tf.mul(ph, th), tf.mul(ph, tl), tf.mul(pl, th), tf.mul(pl, tl)],
  ];
}

/** x = high + low, 12 bits each, so that products of them are float32 numbers (Dekker, 1971). */
function pieces(x: tf.Tensor): [tf.Tensor, tf.Tensor] {
  const scaled = tf.mul(x, 2 ** 12 + 1);
  const high = tf.sub(scaled, tf.sub(scaled, x));
  return [high, tf.sub(x, high)];
}

/** sum(parts) - a b / n, rounded once: the terms of n sum(parts) - a b are added without error. */
function scatter(n: number, parts: readonly number[], a: number, b: number): number {
  const terms = [...parts.flatMap((part) => product(n, part)), ...product(-a, b)];
  let sum = 0, lost = 0;
  for (const term of terms) {
    const next = sum + term;
    lost += Math.abs(sum) >= Math.abs(term) ? sum - next + term : term - next + sum;
    sum = next;
  }
  return (sum + lost) / n;
}

/** x y as two numbers whose sum is exact (Dekker, 1971). */
function product(x: number, y: number): [number, number] {
  const split = (v: number): [number, number] => {
    const scaled = v * (2 ** 27 + 1);
    const high = scaled - (scaled - v);
    return [high, v - high];
  };
  const [xh, xl] = split(x), [yh, yl] = split(y);
  const high = x * y;
  return [high, xl * yl - (high - xh * yh - xl * yh - xh * yl)];
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
  const centred = (x: tf.Tensor): tf.Tensor =>
    tf.mul(tf.sub(x, tf.div(tf.sum(x, 1, true), divisor)), present);
  // The second time takes out what rounding left of a mean far larger than the deviations.
  const dp = centred(centred(p));
  const dt = centred(centred(t));
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
