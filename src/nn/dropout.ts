import type { RandomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import { hasKernel, runKernel } from "./fused.ts";

/** When {@link dropout} drops, and from which random numbers. */
export interface DropoutOptions {
  readonly training: boolean;
  readonly random: RandomStream;
}

/**
 * Inverted dropout: while training each element is zeroed with probability `rate`, the rest scaled
 * by 1 / (1 - rate); otherwise `x` itself.
 *
 * The mask is a function of the stream's key and position alone, so it is the same on every backend;
 * on wasm it is never stored, but drawn again for the gradient.
 */
export function dropout(x: tf.Tensor, rate: number, options: DropoutOptions): tf.Tensor {
  const { training, random } = options;
  if (!training || rate === 0) return x;
  if (!hasKernel(KERNEL, x)) return tf.mul(x, dropoutMask(x.shape, rate, random));
  return runKernel(KERNEL, { x }, { rate, key: random.key, position: random.skip(x.size) })[0];
}

/** 1 / (1 - rate) where a uniform draw is >= rate, else 0 (all zeros for rate 1). */
export function dropoutMask(
  shape: readonly number[],
  rate: number,
  random: RandomStream,
): tf.Tensor {
  const words = random.bits(new Uint32Array(tf.util.sizeFromShape([...shape])));
  const mask = new Float32Array(words.length);
  // A draw is (word >>> 8) / 2^24, as in RandomStream.uniform.
  const threshold = rate * 0x1000000;
  const keep = 1 / (1 - rate);
  for (let i = 0; i < mask.length; i++) if ((words[i] >>> 8) >= threshold) mask[i] = keep;
  return tf.tensor(mask, [...shape]);
}

const KERNEL = "DownhillDropout";

// The gradient is dropped alike.
tf.registerGradient({
  kernelName: KERNEL,
  gradFunc: (dy, _saved, attributes) => ({
    x: () => runKernel(KERNEL, { x: dy as tf.Tensor }, attributes)[0],
  }),
});
