/**
 * What a metric is: a few sums per sample that add up over any batches, and a rule that turns the
 * totals into the value. The runner adds the sums in double precision in sample order, so that a
 * metric does not depend on the evaluation batch size.
 */
import type * as tf from "../tensor/tf.ts";

/** A metric. */
export interface Metric {
  /** The key under which it is reported, for example `mse`. */
  readonly name: string;
  /** How many sums it keeps. */
  readonly size: number;
  /** Whether a larger value is better (accuracy, r2, corr). */
  readonly higherIsBetter: boolean;
  /** False where a single time step has no value (r2, corr): left out of per-horizon results. */
  readonly perHorizon: boolean;
  /** True where targets must be labels, that is integers (accuracy). */
  readonly needsLabels?: boolean;
  /** The sums of every sample: [batch, size]. Runs inside tidy. */
  update(prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor): tf.Tensor2D;
  /** The value of the totals; NaN when nothing was counted. */
  finalize(totals: Float64Array): number;
}
