/** Softmax over rows. */
import { loadPart, storePart } from "./lanes";
import { exp4 } from "./math";
import { f32_max_rows, f32_sum } from "./reduce";

/**
 *     y[i, j] = exp(x[i, j] - max_i) / sum over j of exp(x[i, j] - max_i)
 *
 * Needs:  rows, columns >= 1; any alignment; y apart from x.
 * Error:  relative 2^-23 (3 + |x - max| 2^-1) plus that of the sum, see reduce.ts.
 */
export function f32_softmax(rows: i32, columns: i32, x: usize, y: usize): void {
  const whole = columns & ~3;
  const rest = columns & 3;
  for (let i = 0; i < rows; i++) {
    // The maximum takes the place of the row's first result for a moment.
    f32_max_rows(1, columns, x, y);
    const largest = v128.load_splat<f32>(y);
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
