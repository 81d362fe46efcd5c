/**
 * Cross-entropy of rows of scores against one label a row, forward and backward.
 *
 *     loss_i = (1 - s) l_iy + s / K sum over c of l_ic,   l_ic = log(sum_j exp(x_ij - m_i)) - (x_ic - m_i)
 *
 * with y the label, K the columns, s the label smoothing and m the row's maximum. The loss of the
 * label `ignored` is 0; of another one outside of 0 to K - 1 it is NaN. `stats` holds m and the sum
 * of each row.
 *
 * Needs:  rows, columns >= 1; any alignment; nothing past the arrays is touched.
 * Error:  absolute, of the loss: 2^-22 (|x_y - m| + log K + 2), and s times that of a sum (reduce.ts).
 */
import { floats } from "./address";
import { loadPart, storePart } from "./lanes";
import { exp4, log4 } from "./math";
import { firstLanes, foldLanes } from "./lanes_sum";
import { f32_sum } from "./reduce";
import { maxRow } from "./softmax";

/** See the head of this file. */
export function f32_cross_entropy(
  rows: i32,
  columns: i32,
  x: usize,
  labels: usize,
  ignored: i32,
  smoothing: f32,
  loss: usize,
  stats: usize,
): void {
  const size = floats(columns);
  const classes = columns as f32;
  for (let i = 0; i < rows; i++) {
    const label = load<i32>(labels);
    const largest = maxRow(columns, x);
    store<f32>(stats, largest);
    const sum = sumExp(columns, x, largest);
    store<f32>(stats + 4, sum);
    let result: f32 = 0;
    if (label != ignored) {
      if (label < 0 || label >= columns) {
        result = NaN;
      } else {
        const logSum = f32x4.extract_lane(log4(f32x4.splat(sum)), 0);
        result = logSum - (load<f32>(x + floats(label)) - largest);
        if (smoothing > 0) {
          const all = logSum - (f32_sum(columns, x) / classes - largest);
          result = ((1 as f32) - smoothing) * result + smoothing * all;
        }
      }
    }
    store<f32>(loss, result);
    x += size;
    labels += 4;
    loss += 4;
    stats += 8;
  }
}

/** The sum of exp(x - m) over a row, 256 terms at a time in single precision. */
function sumExp(n: i32, x: usize, m: f32): f32 {
  const shift = f32x4.splat(m);
  let total: f64 = 0;
  for (let start = 0; start < n; start += 256) {
    const end = min(start + 256, n);
    let s = f32x4.splat(0);
    let j = start;
    for (; j + 4 <= end; j += 4) {
      s = f32x4.add(s, exp4(f32x4.sub(v128.load(x), shift)));
      x += 16;
    }
    if (j < end) {
      const e = exp4(f32x4.sub(loadPart(x, end - j), shift));
      s = f32x4.add(s, v128.and(e, firstLanes(end - j)));
    }
    total += foldLanes(s) as f64;
  }
  return total as f32;
}

/** dx_ic = (exp(x_ic - m_i) / sum_i - (1 - s) [c = y] - s / K) dy_i. */
export function f32_cross_entropy_grad(
  rows: i32,
  columns: i32,
  x: usize,
  labels: usize,
  ignored: i32,
  smoothing: f32,
  stats: usize,
  dy: usize,
  dx: usize,
): void {
  const size = floats(columns);
  const whole = columns & ~3;
  const rest = columns & 3;
  const spread = f32x4.splat(smoothing / (columns as f32));
  for (let i = 0; i < rows; i++) {
    const label = load<i32>(labels);
    if (label == ignored) {
      memory.fill(dx, 0, size);
    } else {
      const isClass = label >= 0 && label < columns;
      const d = load<f32>(dy);
      const scale = f32x4.splat(isClass ? d : NaN);
      const m = v128.load_splat<f32>(stats);
      const sum = v128.load_splat<f32>(stats + 4);
      for (let j = 0; j < whole; j += 4) {
        const p = f32x4.div(exp4(f32x4.sub(v128.load(x + floats(j)), m)), sum);
        v128.store(dx + floats(j), f32x4.mul(f32x4.sub(p, spread), scale));
      }
      if (rest) {
        const p = f32x4.div(exp4(f32x4.sub(loadPart(x + floats(whole), rest), m)), sum);
        storePart(dx + floats(whole), f32x4.mul(f32x4.sub(p, spread), scale), rest);
      }
      if (isClass) {
        // Again for the label: its probability minus its share, before the product with dy.
        const at = floats(label);
        const e = exp4(f32x4.sub(v128.load_splat<f32>(x + at), m));
        const p = f32x4.extract_lane(f32x4.div(e, sum), 0);
        const share: f32 = (1 as f32) - smoothing + smoothing / (columns as f32);
        store<f32>(dx + at, (p - share) * d);
      }
    }
    x += size;
    dx += size;
    labels += 4;
    dy += 4;
    stats += 8;
  }
}
