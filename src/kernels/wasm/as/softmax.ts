/** Softmax over rows. */
import { loadPart, storePart } from "./lanes";
import { exp4 } from "./math";
import { f32_sum } from "./reduce";

/**
 *     y[i, j] = exp(x[i, j] - max_i) / sum over j of exp(x[i, j] - max_i)
 *
 * Needs:  rows, columns >= 1; any alignment; y may be x.
 * Error:  relative 2^-23 (3 + |x - max| 2^-1) plus that of the sum, see reduce.ts.
 */
export function f32_softmax(rows: i32, columns: i32, x: usize, y: usize): void {
  const whole = columns & ~3;
  const rest = columns & 3;
  for (let i = 0; i < rows; i++) {
    const largest = maximum(columns, x);
    let p = y;
    for (let j = 0; j < whole; j += 4) {
      v128.store(p, exp4(f32x4.sub(v128.load(x), largest)));
      x += 16;
      p += 16;
    }
    if (rest) {
      storePart(p, exp4(f32x4.sub(loadPart(x, rest), largest)), rest);
      x += (rest as usize) << 2;
    }
    const sum = f32x4.splat(f32_sum(columns, y));
    for (let j = 0; j < whole; j += 4) {
      v128.store(y, f32x4.div(v128.load(y), sum));
      y += 16;
    }
    if (rest) {
      storePart(y, f32x4.div(loadPart(y, rest), sum), rest);
      y += (rest as usize) << 2;
    }
  }
}

/** The largest of n floats in all lanes. */
@inline
function maximum(n: i32, x: usize): v128 {
  let s = v128.load_splat<f32>(x);
  let j = 0;
  for (; j + 4 <= n; j += 4) s = f32x4.max(s, v128.load(x + ((j as usize) << 2)));
  for (; j < n; j++) s = f32x4.max(s, v128.load_splat<f32>(x + ((j as usize) << 2)));
  s = f32x4.max(s, v128.shuffle<f32>(s, s, 2, 3, 0, 1));
  return f32x4.max(s, v128.shuffle<f32>(s, s, 1, 0, 3, 2));
}
