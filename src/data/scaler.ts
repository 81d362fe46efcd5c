/**
 * Scalers: y = (x - shift) / scale, per channel (last axis) or for all channels together.
 *
 * Fitted in double precision on the training part only; NaN marks a missing cell, is left out of
 * the fit and stays NaN.
 */
import * as tf from "../tensor/tf.ts";

/** A fitted scaler. */
export interface AffineScaler {
  /** `zscore` (mean, population standard deviation) or `minmax` (minimum, range). */
  readonly type: string;
  /** One number a channel, or a single one for all channels. */
  readonly shift: Float64Array;
  readonly scale: Float64Array;
  /** Scales `values` ([..., channels], row-major) in place. */
  transform(values: Float32Array): Float32Array;
  /** Undoes {@link transform} in place. */
  inverse(values: Float32Array): Float32Array;
  /** {@link inverse} on the device, for a tensor whose last axis is the channels. */
  inverseTensor(values: tf.Tensor): tf.Tensor;
}
