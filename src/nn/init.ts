/**
 * Initial weights as functions of (shape, random numbers): plain host arrays, so that a seed gives
 * the same weights on every backend and runtime.
 *
 * Weights lie [...receptive field, in, out], as `linear` and tfjs' kernels have them: fan-in is the
 * product of all axes but the last.
 */
import { ConfigError, show } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";

/** Fills a new array for `shape`. */
export type Initializer = (shape: readonly number[], random: RandomStream) => Float32Array;

/** Number of inputs and outputs that a weight connects; sqrt(size) each for a vector. */
function fans(shape: readonly number[]): { fanIn: number; fanOut: number } {
  const total = size(shape);
  if (shape.length < 2) return { fanIn: Math.sqrt(total), fanOut: Math.sqrt(total) };
  const [fanIn, fanOut] = [shape[shape.length - 2], shape[shape.length - 1]];
  const field = size(shape.slice(0, -2));
  return { fanIn: fanIn * field, fanOut: fanOut * field };
}

/** Every element `value`. */
export function constant(value: number): Initializer {
  return (shape) => floats(shape).fill(value);
}

/** Every element 0. */
export const zeros: Initializer = constant(0);

/** Every element 1. */
export const ones: Initializer = constant(1);

/** Uniform in [low, high). */
export function uniform(low: number, high: number): Initializer {
  return (shape, random) => random.uniform(floats(shape), low, high);
}

/** Normal. */
export function normal(mean = 0, std = 1): Initializer {
  return (shape, random) => random.normal(floats(shape), mean, std);
}

/** Normal, drawn again where it falls more than two standard deviations from the mean. */
export function truncatedNormal(mean = 0, std = 1): Initializer {
  return (shape, random) => {
    const out = floats(shape);
    const draws = new Float64Array(64);
    for (let i = 0; i < out.length;) {
      for (const z of random.normal(draws)) {
        if (Math.abs(z) <= 2 && i < out.length) out[i++] = mean + std * z;
      }
    }
    return out;
  };
}

/** Options of {@link varianceScaling}. */
export interface VarianceScalingOptions {
  /** @default 1 */
  readonly scale?: number;
  /** @default "fanIn" */
  readonly mode?: "fanIn" | "fanOut" | "fanAvg";
  /** @default "uniform" */
  readonly distribution?: "uniform" | "normal" | "truncatedNormal";
}

/** Variance scale / fan: uniform within sqrt(3 scale / fan), or normal of that standard deviation. */
export function varianceScaling(options: VarianceScalingOptions = {}): Initializer {
  const { scale = 1, mode = "fanIn", distribution = "uniform" } = options;
  return (shape, random) => {
    const { fanIn, fanOut } = fans(shape);
    const fan = mode === "fanIn" ? fanIn : mode === "fanOut" ? fanOut : (fanIn + fanOut) / 2;
    const variance = scale / Math.max(1, fan);
    const limit = Math.sqrt(3 * variance);
    const std = Math.sqrt(variance);
    const draw = distribution === "uniform"
      ? uniform(-limit, limit)
      : distribution === "normal"
      ? normal(0, std)
      : truncatedNormal(0, std);
    return draw(shape, random);
  };
}

/**
 * He et al. 2015: uniform within sqrt(6 / ((1 + a^2) fanIn)).
 *
 * The default a = sqrt 5 is what torch gives a Linear or convolution weight: within 1 / sqrt(fanIn).
 */
export function kaimingUniform(a: number = Math.sqrt(5)): Initializer {
  return varianceScaling({ scale: 2 / (1 + a * a) });
}

/** Glorot and Bengio 2010: uniform within gain * sqrt(6 / (fanIn + fanOut)). */
export function xavierUniform(gain = 1): Initializer {
  return varianceScaling({ scale: gain * gain, mode: "fanAvg" });
}

/** Glorot and Bengio 2010: normal with standard deviation gain * sqrt(2 / (fanIn + fanOut)). */
export function xavierNormal(gain = 1): Initializer {
  return varianceScaling({ scale: gain * gain, mode: "fanAvg", distribution: "normal" });
}

/** What torch gives a Linear bias: uniform within 1 / sqrt(fanIn) of its weight. */
export function linearBias(fanIn: number): Initializer {
  const bound = 1 / Math.sqrt(fanIn);
  return uniform(-bound, bound);
}

/** gain times the identity matrix. */
export function identity(gain = 1): Initializer {
  return (shape) => {
    if (shape.length !== 2 || shape[0] !== shape[1]) {
      throw new ConfigError("", `identity: the shape must be square, received ${show(shape)}`);
    }
    const out = floats(shape);
    for (let i = 0; i < shape[0]; i++) out[i * shape[0] + i] = gain;
    return out;
  };
}

/**
 * gain times a random matrix with orthonormal columns (rows, if there are more columns), the last
 * axis against all others (Saxe et al. 2013): Q of a normal matrix, signed so that R's diagonal is
 * positive.
 */
export function orthogonal(gain = 1): Initializer {
  return (shape, random) => {
    if (shape.length < 2) {
      throw new ConfigError("", `orthogonal: the shape needs 2 axes, received ${show(shape)}`);
    }
    const cols = shape[shape.length - 1];
    const rows = size(shape) / cols;
    const [tall, thin] = [Math.max(rows, cols), Math.min(rows, cols)];
    const vectors = Array.from({ length: thin }, () => random.normal(new Float64Array(tall)));
    orthonormalize(vectors);
    const out = new Float32Array(rows * cols);
    vectors.forEach((vector, j) =>
      vector.forEach((v, i) => out[rows >= cols ? i * cols + j : j * cols + i] = gain * v)
    );
    return out;
  };
}

/** Gram-Schmidt in place, each vector projected twice: as orthogonal as double precision allows. */
function orthonormalize(vectors: Float64Array[]): void {
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  vectors.forEach((vector, j) => {
    for (let pass = 0; pass < 2; pass++) {
      for (let k = 0; k < j; k++) {
        const along = dot(vector, vectors[k]);
        for (let i = 0; i < vector.length; i++) vector[i] -= along * vectors[k][i];
      }
    }
    const length = Math.sqrt(dot(vector, vector));
    for (let i = 0; i < vector.length; i++) vector[i] /= length;
  });
}

/** More than wasm or a GPU buffer holds: 4 GiB. */
const MOST_VALUES = 2 ** 30;

/** Zeros for a weight; a length that was mistyped asks for more than there is. */
function floats(shape: readonly number[]): Float32Array {
  if (!(size(shape) <= MOST_VALUES)) {
    throw new ConfigError(
      "",
      `a weight must have at most 2^30 values, received shape ${show(shape)}`,
    );
  }
  return new Float32Array(size(shape));
}

function size(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}
