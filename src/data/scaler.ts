/**
 * Scalers: y = (x - shift) / scale, per channel (last axis) or for all channels together.
 *
 * Fitted in double precision on the training part only; NaN marks a missing cell, is left out of
 * the fit and stays NaN.
 */
import { DataError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";

/** A fitted scaler. */
export interface AffineScaler {
  /** `zscore` (mean, population standard deviation) or `minmax` (minimum, range). */
  readonly type: string;
  /** The length of the last axis of what it scales. */
  readonly channels: number;
  /** One number a channel, or a single one for all channels. */
  readonly shift: Float64Array;
  readonly scale: Float64Array;
  /** Scales `values` ([..., channels], row-major) in place. */
  transform(values: Float32Array): Float32Array;
  /** Undoes {@link transform} in place. */
  inverse(values: Float32Array): Float32Array;
  /** {@link inverse} on the device, for a tensor whose last axis is the channels; called in tidy. */
  inverseTensor(values: tf.Tensor): tf.Tensor;
  /** The scaler of some of the channels, in the order given. */
  select(channels: readonly number[]): AffineScaler;
  /** What {@link scalerFromState} needs to make an equal scaler. */
  state(): ScalerState;
}

/** A scaler as plain data; the numbers survive JSON exactly. */
export interface ScalerState {
  readonly type: string;
  readonly channels: number;
  readonly shift: readonly number[];
  readonly scale: readonly number[];
}

/** What {@link fitScaler} reads. */
export interface FitOptions {
  /** First row and the row after the last: the training part. */
  readonly rows: readonly [number, number];
  /** One shift and scale a channel, or one pair for all. @default true */
  readonly perChannel?: boolean;
}

/**
 * Fits a scaler to rows of `values` ([rows, channels], row-major).
 *
 *     zscore   shift = mean, scale = sqrt(mean((x - mean)^2))
 *     minmax   shift = min,  scale = max - min
 *
 * Two passes in double precision. NaN is skipped; a constant channel gets scale 1, one without any
 * value shift 0 and scale 1.
 */
export function fitScaler(
  type: "zscore" | "minmax",
  values: Float32Array,
  channels: number,
  options: FitOptions,
): AffineScaler {
  const [start, end] = options.rows;
  const groups = options.perChannel === false ? 1 : channels;
  const range = values.subarray(start * channels, end * channels);
  const min = new Float64Array(groups).fill(Infinity);
  const max = new Float64Array(groups).fill(-Infinity);
  const sum = new Float64Array(groups);
  const count = new Float64Array(groups);
  for (let i = 0; i < range.length; i++) {
    const x = range[i];
    if (Number.isNaN(x)) continue;
    const g = i % groups;
    sum[g] += x;
    count[g]++;
    if (x < min[g]) min[g] = x;
    if (x > max[g]) max[g] = x;
  }
  const shift = type === "minmax" ? min : sum.map((s, g) => s / count[g]);
  const scale = max.map((m, g) => m - min[g]);
  if (type === "zscore") {
    const squares = new Float64Array(groups);
    for (let i = 0; i < range.length; i++) {
      const g = i % groups;
      const d = range[i] - shift[g];
      if (!Number.isNaN(d)) squares[g] += d * d;
    }
    for (let g = 0; g < groups; g++) scale[g] = Math.sqrt(squares[g] / count[g]);
  }
  for (let g = 0; g < groups; g++) {
    if (count[g] === 0) shift[g] = 0, scale[g] = 1;
    else if (min[g] === max[g]) shift[g] = min[g], scale[g] = 1;
  }
  return new Affine(type, channels, shift, scale);
}

/** The scaler that {@link AffineScaler.state} describes. */
export function scalerFromState(state: ScalerState): AffineScaler {
  const { type, channels, shift, scale } = state;
  const fits = (x: readonly number[]) => x.length === 1 || x.length === channels;
  if (!fits(shift) || !fits(scale) || scale.length !== shift.length || scale.includes(0)) {
    throw new DataError(
      `a scaler of ${channels} channels needs as many shifts and non-zero scales, or one of each, ` +
        `received ${show(shift)} and ${show(scale)}`,
    );
  }
  return new Affine(type, channels, Float64Array.from(shift), Float64Array.from(scale));
}

class Affine implements AffineScaler {
  constructor(
    readonly type: string,
    readonly channels: number,
    readonly shift: Float64Array,
    readonly scale: Float64Array,
  ) {}

  transform(values: Float32Array): Float32Array {
    const { shift, scale } = this;
    const n = this.#groups(values);
    for (let i = 0; i < values.length; i++) values[i] = (values[i] - shift[i % n]) / scale[i % n];
    return values;
  }

  inverse(values: Float32Array): Float32Array {
    const { shift, scale } = this;
    const n = this.#groups(values);
    for (let i = 0; i < values.length; i++) values[i] = values[i] * scale[i % n] + shift[i % n];
    return values;
  }

  inverseTensor(values: tf.Tensor): tf.Tensor {
    const last = values.shape[values.rank - 1];
    if (last !== this.channels) {
      throw new DataError(
        `a scaler of ${this.channels} channels needs a tensor with that last axis, received shape ${
          show(values.shape)
        }`,
      );
    }
    const scale = tf.tensor1d(Float32Array.from(this.scale));
    const shift = tf.tensor1d(Float32Array.from(this.shift));
    return tf.add(tf.mul(values, scale), shift);
  }

  select(channels: readonly number[]): AffineScaler {
    const wrong = channels.find((c) => !(Number.isInteger(c) && c >= 0 && c < this.channels));
    if (wrong !== undefined) {
      throw new RangeError(
        `a channel must be an integer in [0, ${this.channels}), received ${wrong}`,
      );
    }
    const pick = (x: Float64Array) =>
      x.length === 1 ? x.slice() : Float64Array.from(channels, (c) => x[c]);
    return new Affine(this.type, channels.length, pick(this.shift), pick(this.scale));
  }

  state(): ScalerState {
    const { type, channels, shift, scale } = this;
    return { type, channels, shift: [...shift], scale: [...scale] };
  }

  #groups(values: Float32Array): number {
    if (values.length % this.channels !== 0) {
      throw new DataError(
        `a scaler of ${this.channels} channels needs a multiple of as many values, received ${values.length}`,
      );
    }
    return this.shift.length;
  }
}
