import type { RandomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";

/** When {@link dropout} drops, and from which random numbers. */
export interface DropoutOptions {
  readonly training: boolean;
  readonly random: RandomStream;
}

/**
 * Inverted dropout: while training each element is zeroed with probability `rate`, the rest scaled
 * by 1 / (1 - rate); otherwise `x` itself.
 *
 * The mask is a function of the stream's key and position alone, so it is the same on every backend.
 */
export function dropout(x: tf.Tensor, rate: number, options: DropoutOptions): tf.Tensor {
  if (!options.training || rate === 0) return x;
  return tf.mul(x, dropoutMask(x.shape, rate, options.random));
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
