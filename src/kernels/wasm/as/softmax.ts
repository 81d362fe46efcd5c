/** Softmax over rows. */
import { loadPart, storePart } from "./lanes";
import { firstLanes, foldLanes } from "./lanes_sum";
import { exp4 } from "./math";

/** The largest of n floats, NaN aside: -Infinity if there is nothing else. */
export function maxRow(n: i32, x: usize): f32 {
  let s = f32x4.splat(-Infinity);
  let t = s;
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    s = f32x4.pmax(s, v128.load(x));
    t = f32x4.pmax(t, v128.load(x, 16));
    x += 32;
  }
  if (i + 4 <= n) {
    s = f32x4.pmax(s, v128.load(x));
    x += 16;
    i += 4;
  }
  if (i < n) {
    const last = loadPart(x, n - i);
    t = f32x4.pmax(t, v128.bitselect(last, t, firstLanes(n - i)));
  }
  s = f32x4.pmax(s, t);
  s = f32x4.pmax(s, v128.shuffle<f32>(s, s, 2, 3, 0, 1));
  return max(f32x4.extract_lane(s, 0), f32x4.extract_lane(s, 1));
}

/**
 * y[j] = exp(x[j] - m) for n floats, none above m; the sum, 256 terms at a time in single precision.
 * y may be x.
 */
export function expRow(n: i32, x: usize, m: f32, y: usize): f32 {
  const shift = f32x4.splat(m);
  let total: f64 = 0;
  for (let start = 0; start < n; start += 256) {
    const end = min(start + 256, n);
    let s = f32x4.splat(0);
    let j = start;
    for (; j + 4 <= end; j += 4) {
      const e = exp4(f32x4.sub(v128.load(x), shift));
      v128.store(y, e);
      s = f32x4.add(s, e);
      x += 16;
      y += 16;
    }
    if (j < end) {
      const rest = end - j;
      const e = v128.and(exp4(f32x4.sub(loadPart(x, rest), shift)), firstLanes(rest));
      storePart(y, e, rest);
      s = f32x4.add(s, e);
    }
    total += foldLanes(s) as f64;
  }
  return total as f32;
}

/** y[i] = x[i] * f for n floats; y may be x. */
export function scaleRow(n: i32, x: usize, f: f32, y: usize): void {
  const factor = f32x4.splat(f);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    v128.store(y, f32x4.mul(v128.load(x), factor));
    x += 16;
    y += 16;
  }
  if (i < n) storePart(y, f32x4.mul(loadPart(x, n - i), factor), n - i);
}

/**
 *     y[i, j] = exp(x[i, j] - max_i) / sum over j of exp(x[i, j] - max_i)
 *
 * Needs:  rows, columns >= 1; any alignment; y apart from x.
 * Error:  relative 2^-23 (4 + |x - max| / 2) plus 36 2^-24 of the sum.
 */
export function f32_softmax(rows: i32, columns: i32, x: usize, y: usize): void {
  const step = (columns as usize) << 2;
  for (let i = 0; i < rows; i++) {
    const sum = expRow(columns, x, maxRow(columns, x), y);
    scaleRow(columns, y, (1 as f32) / sum, y);
    x += step;
    y += step;
  }
}
