/**
 * Layer and root-mean-square normalisation of rows, forward and backward.
 *
 *     y = h * gain + bias,   h = (x - m) / sqrt(mean((x - m)^2) + eps)
 *
 * where m is the row's mean, or 0 if not `centred`. `bias` may be address 0. `stats` holds m and the
 * reciprocal root of each row.
 *
 * Needs:  rows, columns >= 1; any alignment; nothing past the arrays is touched.
 * Sums:   a row in runs of 256, four or eight to a vector, the runs in double precision; columns in
 *         blocks of 128 rows. |error of a sum| <= 36 2^-24 sum |terms| for rows,
 *         (128 + rows / 128) 2^-24 sum |terms| for the gradients of gain and bias.
 */
import { floats } from "./address";
import { loadPart, storePart } from "./lanes";
import { addTo, firstLanes, foldLanes } from "./lanes_sum";
import { f32_sum } from "./reduce";

const RUN: i32 = 256;
const BLOCK: i32 = 128;

/** sum of (x - m)^2 over a row. */
@inline
function squares(n: i32, x: usize, m: f32): f64 {
  const shift = f32x4.splat(m);
  let total: f64 = 0;
  for (let start = 0; start < n; start += RUN) {
    const end = min(start + RUN, n);
    let s = f32x4.splat(0);
    let t = f32x4.splat(0);
    let j = start;
    for (; j + 8 <= end; j += 8) {
      const a = f32x4.sub(v128.load(x), shift);
      const b = f32x4.sub(v128.load(x, 16), shift);
      s = f32x4.add(s, f32x4.mul(a, a));
      t = f32x4.add(t, f32x4.mul(b, b));
      x += 32;
    }
    if (j + 4 <= end) {
      const a = f32x4.sub(v128.load(x), shift);
      s = f32x4.add(s, f32x4.mul(a, a));
      x += 16;
      j += 4;
    }
    if (j < end) {
      const a = v128.and(f32x4.sub(loadPart(x, end - j), shift), firstLanes(end - j));
      t = f32x4.add(t, f32x4.mul(a, a));
    }
    total += foldLanes(f32x4.add(s, t)) as f64;
  }
  return total;
}

/** See the head of this file. */
export function f32_layer_norm(
  rows: i32,
  columns: i32,
  x: usize,
  gain: usize,
  bias: usize,
  eps: f32,
  centred: i32,
  y: usize,
  stats: usize,
): void {
  const count = columns as f64;
  const whole = columns & ~3;
  const rest = columns & 3;
  for (let i = 0; i < rows; i++) {
    const mean: f32 = centred ? f32_sum(columns, x) / (columns as f32) : 0;
    const variance = squares(columns, x, mean) / count;
    const scale = (1 / sqrt(variance + (eps as f64))) as f32;
    store<f32>(stats, mean);
    store<f32>(stats + 4, scale);
    stats += 8;
    const m = f32x4.splat(mean);
    const r = f32x4.splat(scale);
    for (let j = 0; j < whole; j += 4) {
      let h = f32x4.mul(f32x4.sub(v128.load(x), m), r);
      h = f32x4.mul(h, v128.load(gain + floats(j)));
      if (bias) h = f32x4.add(h, v128.load(bias + floats(j)));
      v128.store(y, h);
      x += 16;
      y += 16;
    }
    if (rest) {
      let h = f32x4.mul(f32x4.sub(loadPart(x, rest), m), r);
      h = f32x4.mul(h, loadPart(gain + floats(whole), rest));
      if (bias) h = f32x4.add(h, loadPart(bias + floats(whole), rest));
      storePart(y, h, rest);
      x += floats(rest);
      y += floats(rest);
    }
  }
}

/**
 * From dy, with e = dy gain: dx = r (e - mean(e) - h mean(e h)), the mean of e only if `centred`;
 * dGain = sum over rows of dy h, dBias (may be address 0) = sum over rows of dy.
 *
 * Needs: `scratch` of 8 columns bytes.
 */
export function f32_layer_norm_grad(
  rows: i32,
  columns: i32,
  x: usize,
  gain: usize,
  stats: usize,
  dy: usize,
  centred: i32,
  dx: usize,
  dGain: usize,
  dBias: usize,
  scratch: usize,
): void {
  const size = floats(columns);
  const partGain = scratch;
  const partBias = scratch + size;
  memory.fill(dGain, 0, size);
  if (dBias) memory.fill(dBias, 0, size);
  for (let first = 0; first < rows; first += BLOCK) {
    memory.fill(scratch, 0, 2 * size);
    const last = min(first + BLOCK, rows);
    for (let i = first; i < last; i++) {
      rowGradient(columns, x, gain, stats, dy, centred, dx, partGain, partBias);
      x += size;
      dy += size;
      dx += size;
      stats += 8;
    }
    addTo(columns, partGain, dGain);
    if (dBias) addTo(columns, partBias, dBias);
  }
}

@inline
function rowGradient(
  n: i32,
  x: usize,
  gain: usize,
  stats: usize,
  dy: usize,
  centred: i32,
  dx: usize,
  partGain: usize,
  partBias: usize,
): void {
  const m = v128.load_splat<f32>(stats);
  const r = v128.load_splat<f32>(stats + 4);
  const whole = n & ~3;
  const rest = n & 3;
  let sumE: f64 = 0;
  let sumEH: f64 = 0;
  for (let start = 0; start < n; start += RUN) {
    const end = min(start + RUN, n);
    let s = f32x4.splat(0);
    let t = f32x4.splat(0);
    let j = start;
    for (; j + 4 <= end; j += 4) {
      const at = floats(j);
      const h = f32x4.mul(f32x4.sub(v128.load(x + at), m), r);
      const d = v128.load(dy + at);
      const e = f32x4.mul(d, v128.load(gain + at));
      const dh = f32x4.mul(d, h);
      v128.store(partGain + at, f32x4.add(v128.load(partGain + at), dh));
      v128.store(partBias + at, f32x4.add(v128.load(partBias + at), d));
      s = f32x4.add(s, e);
      t = f32x4.add(t, f32x4.mul(e, h));
    }
    if (j < end) {
      const at = floats(j);
      const h = f32x4.mul(f32x4.sub(loadPart(x + at, rest), m), r);
      const d = loadPart(dy + at, rest);
      const e = f32x4.mul(d, loadPart(gain + at, rest));
      const dh = f32x4.mul(d, h);
      storePart(partGain + at, f32x4.add(loadPart(partGain + at, rest), dh), rest);
      storePart(partBias + at, f32x4.add(loadPart(partBias + at, rest), d), rest);
      // Lanes past the row have d = 0, but a NaN or infinite h would make them NaN.
      s = f32x4.add(s, e);
      t = f32x4.add(t, v128.and(f32x4.mul(e, h), firstLanes(rest)));
    }
    sumE += foldLanes(s) as f64;
    sumEH += foldLanes(t) as f64;
  }
  const meanE = f32x4.splat(centred ? (sumE / (n as f64)) as f32 : 0);
  const meanEH = f32x4.splat((sumEH / (n as f64)) as f32);
  for (let j = 0; j < whole; j += 4) {
    const at = floats(j);
    const h = f32x4.mul(f32x4.sub(v128.load(x + at), m), r);
    const e = f32x4.mul(v128.load(dy + at), v128.load(gain + at));
    const d = f32x4.sub(f32x4.sub(e, meanE), f32x4.mul(h, meanEH));
    v128.store(dx + at, f32x4.mul(d, r));
  }
  if (rest) {
    const at = floats(whole);
    const h = f32x4.mul(f32x4.sub(loadPart(x + at, rest), m), r);
    const e = f32x4.mul(loadPart(dy + at, rest), loadPart(gain + at, rest));
    const d = f32x4.sub(f32x4.sub(e, meanE), f32x4.mul(h, meanEH));
    storePart(dx + at, f32x4.mul(d, r), rest);
  }
}
