/** Normalisation with a mean and a factor for each channel. */
import { loadPart, storePart } from "./lanes";

/**
 *     y[i] = (x[i] - mean[j]) * factor[j] + offset[j],   j = i modulo period
 *
 * Needs:  n, period >= 1, period a multiple of 4; any alignment; y may be x.
 * Error:  relative 2^-23 of the first two terms, and 2^-24 of the sum.
 */
export function f32_batch_norm(
  n: i32,
  period: i32,
  x: usize,
  mean: usize,
  factor: usize,
  offset: usize,
  y: usize,
): void {
  for (let i = 0; i < n; i += period) {
    const count = min(period, n - i);
    const whole = ((count & ~3) as usize) << 2;
    for (let at: usize = 0; at < whole; at += 16) {
      v128.store(y + at, apply(v128.load(x + at), mean + at, factor + at, offset + at));
    }
    const rest = count & 3;
    if (rest) {
      const value = loadPart(x + whole, rest);
      const result = apply(value, mean + whole, factor + whole, offset + whole);
      storePart(y + whole, result, rest);
    }
    x += (period as usize) << 2;
    y += (period as usize) << 2;
  }
}

@inline
function apply(x: v128, mean: usize, factor: usize, offset: usize): v128 {
  const scaled = f32x4.mul(f32x4.sub(x, v128.load(mean)), v128.load(factor));
  return f32x4.add(scaled, v128.load(offset));
}
