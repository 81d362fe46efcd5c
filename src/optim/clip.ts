/**
 * Gradient clipping on the device: nothing is read back, the inputs stay.
 *
 * Sums run over blocks of 64 elements, then over the blocks' sums in the same way, so that float32
 * keeps its precision for any number of elements.
 */
import { ConfigError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import { gradientEntries, type Gradients } from "./gradients.ts";

/** Gradients by name, or tfjs' list; absent ones stay absent. */
export type GradientMap = Gradients;

/** Clipped gradients, new tensors that the caller disposes. */
export interface ClippedGradients {
  readonly grads: Record<string, tf.Tensor>;
  /** The norm of all gradients together, before clipping. */
  readonly norm: tf.Scalar;
}

const blockSize = 64;

/** Tensors below this are summed together, which takes fewer ops and little memory. */
const smallSize = 65536;

/**
 * Scales all gradients by min(1, maxNorm / (norm + 1e-6)), as `torch.nn.utils.clip_grad_norm_`.
 *
 * As there, a norm that is NaN makes every gradient NaN; an infinite one makes what is infinite NaN
 * and the rest 0.
 *
 * @param maxNorm >= 0; Infinity only measures.
 * @param normType p of the p-norm over all elements, > 0; Infinity for the largest magnitude.
 */
export function clipGradNorm(
  grads: GradientMap,
  maxNorm: number,
  normType = 2,
): ClippedGradients {
  if (!(maxNorm >= 0)) {
    throw new ConfigError("maxNorm", `must be a number >= 0, received ${show(maxNorm)}`);
  }
  return tf.tidy(() => {
    const norm = gradNorm(present(grads).map(([, gradient]) => gradient), normType);
    const factor = clipFactor(norm, maxNorm);
    return { grads: map(grads, (gradient) => tf.mul(gradient, factor)), norm };
  });
}

/** Limits every element to [-clipValue, clipValue], as `torch.nn.utils.clip_grad_value_`; NaN stays NaN. */
export function clipGradValue(
  grads: GradientMap,
  clipValue: number,
): { grads: Record<string, tf.Tensor> } {
  if (!(clipValue >= 0)) {
    throw new ConfigError("clipValue", `must be a number >= 0, received ${show(clipValue)}`);
  }
  return tf.tidy(() => ({
    // tfjs' own wasm kernel turns NaN into -clipValue.
    grads: map(
      grads,
      (gradient) =>
        tf.where(tf.isNaN(gradient), gradient, tf.clipByValue(gradient, -clipValue, clipValue)),
    ),
  }));
}

/** min(1, maxNorm / (norm + 1e-6)), the factor that {@link clipGradNorm} multiplies by. */
export function clipFactor(norm: tf.Scalar, maxNorm: number): tf.Scalar {
  return tf.tidy(() => tf.minimum(tf.div(maxNorm, tf.add(norm, 1e-6)), 1));
}

/** The p-norm of all elements of `grads` together; 0 if there are none. */
export function gradNorm(grads: readonly tf.Tensor[], normType = 2): tf.Scalar {
  if (!(normType > 0)) {
    throw new ConfigError("normType", `must be a number > 0, received ${show(normType)}`);
  }
  return tf.tidy(() => {
    if (normType === Infinity) {
      const largest = grads.filter(({ size }) => size > 0).map((g) => tf.max<tf.Scalar>(tf.abs(g)));
      return largest.length === 0 ? tf.scalar(0) : largest.reduce((a, b) => tf.maximum(a, b));
    }
    if (normType === 2) return tf.sqrt(squaredNorm(grads));
    if (normType === 1) return sumOf(grads, tf.abs);
    return tf.pow(sumOf(grads, (g) => tf.pow(tf.abs(g), normType)), 1 / normType);
  });
}

/** The sum of all elements of `tensors` together. */
export function total(tensors: readonly tf.Tensor[]): tf.Scalar {
  return sumOf(tensors, (x) => x);
}

/** The sum of squares of all elements of `grads` together. */
export function squaredNorm(grads: readonly tf.Tensor[]): tf.Scalar {
  return sumOf(grads, (g) => tf.mul(g, g));
}

/** The sum of f over all elements: small tensors in one go, large ones each for itself. */
function sumOf(tensors: readonly tf.Tensor[], f: (x: tf.Tensor) => tf.Tensor): tf.Scalar {
  return tf.tidy(() => {
    const flat = tensors.filter(({ size }) => size > 0).map((x) => tf.reshape(x, [-1]));
    const small = flat.filter(({ size }) => size < smallSize);
    const parts = flat.filter(({ size }) => size >= smallSize);
    if (small.length > 0) parts.push(small.length === 1 ? small[0] : tf.concat(small));
    const sums = parts.map((part) => blockSum(f(part)));
    return sums.length === 0 ? tf.scalar(0) : sums.reduce((a, b) => tf.add(a, b));
  });
}

function blockSum(x: tf.Tensor): tf.Scalar {
  if (x.size <= blockSize) return tf.sum(x);
  const padding = (blockSize - x.size % blockSize) % blockSize;
  const padded = padding === 0 ? x : tf.pad(x, [[0, padding]]);
  return blockSum(tf.sum(tf.reshape(padded, [-1, blockSize]), 1));
}

function present(grads: GradientMap): [string, tf.Tensor][] {
  return gradientEntries(grads).flatMap(([name, gradient]) =>
    gradient === undefined ? [] : [[name, gradient]]
  );
}

function map(grads: GradientMap, f: (gradient: tf.Tensor) => tf.Tensor): Record<string, tf.Tensor> {
  return Object.fromEntries(present(grads).map(([name, gradient]) => [name, f(gradient)]));
}
