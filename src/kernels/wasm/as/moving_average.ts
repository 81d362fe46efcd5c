/**
 * Centred moving averages over the middle axis of [batch, time, channels], the ends repeated.
 *
 *     y[t] = (x[t - h] + ... + x[t + h]) / (2 h + 1)
 *
 * Needs:  batch, time, channels >= 1; h >= 1; any alignment; nothing past the arrays is touched.
 * Order:  a window of c is cut into blocks of m, the whole part of the root of c, and less than 2 m
 *         left over. Sums of m neighbours are taken once for all windows; those of the blocks and
 *         what is left are added in rising order: |error| <= (3 m + 3) 2^-24 mean |x|.
 */
import { loadPart, storePart } from "./lanes";

/** Bytes of scratch memory that both functions need. */
export function f32_moving_average_scratch(time: i32, channels: i32, half: i32): i32 {
  return ((time + 4 * half + (time + 2 * half)) * channels) << 2;
}

@inline
function floats(n: i32): usize {
  return (n as usize) << 2;
}

/** y[i] = (x[i] + x[i + step] + ... ) / count for n floats; `sums` has room for as many as x. */
function windows(n: i32, x: usize, step: usize, count: i32, y: usize, sums: usize): void {
  const size = sqrt<f32>(count as f32) as i32;
  const blocks = count / size;
  const block = (size as usize) * step;
  const rest = (blocks as usize) * block;
  if (size == 1) {
    addUp(n, x, step, count, x, step, 0, count, y);
  } else {
    const extra = (((blocks - 1) as usize) * block) >> 2;
    addUp(n + (extra as i32), x, step, size, x, step, 0, 0, sums);
    addUp(n, sums, block, blocks, x + rest, step, count - blocks * size, count, y);
  }
}

/** y[i] = b[i] + b[i + bStep] + ... + x[i] + x[i + step] + ..., over `divisor` unless it is 0. */
function addUp(
  n: i32,
  b: usize,
  bStep: usize,
  blocks: i32,
  x: usize,
  step: usize,
  rest: i32,
  divisor: i32,
  y: usize,
): void {
  const total = f32x4.splat(divisor as f32);
  let i = 0;
  for (; i + 16 <= n; i += 16) {
    let p = b;
    let s0 = v128.load(p);
    let s1 = v128.load(p, 16);
    let s2 = v128.load(p, 32);
    let s3 = v128.load(p, 48);
    for (let k = 1; k < blocks; k++) {
      p += bStep;
      s0 = f32x4.add(s0, v128.load(p));
      s1 = f32x4.add(s1, v128.load(p, 16));
      s2 = f32x4.add(s2, v128.load(p, 32));
      s3 = f32x4.add(s3, v128.load(p, 48));
    }
    p = x;
    for (let k = 0; k < rest; k++) {
      s0 = f32x4.add(s0, v128.load(p));
      s1 = f32x4.add(s1, v128.load(p, 16));
      s2 = f32x4.add(s2, v128.load(p, 32));
      s3 = f32x4.add(s3, v128.load(p, 48));
      p += step;
    }
    if (divisor) {
      s0 = f32x4.div(s0, total);
      s1 = f32x4.div(s1, total);
      s2 = f32x4.div(s2, total);
      s3 = f32x4.div(s3, total);
    }
    v128.store(y, s0);
    v128.store(y, s1, 16);
    v128.store(y, s2, 32);
    v128.store(y, s3, 48);
    b += 64;
    x += 64;
    y += 64;
  }
  for (; i < n; i += 4) {
    const lanes = min(4, n - i);
    let p = b;
    let s = read(p, lanes);
    for (let k = 1; k < blocks; k++) {
      p += bStep;
      s = f32x4.add(s, read(p, lanes));
    }
    p = x;
    for (let k = 0; k < rest; k++) {
      s = f32x4.add(s, read(p, lanes));
      p += step;
    }
    if (divisor) s = f32x4.div(s, total);
    if (lanes == 4) v128.store(y, s);
    else storePart(y, s, lanes);
    b += 16;
    x += 16;
    y += 16;
  }
}

@inline
function read(p: usize, lanes: i32): v128 {
  return lanes == 4 ? v128.load(p) : loadPart(p, lanes);
}

/**
 * Averages of `count` neighbours in lines of [columns, channels], without padding:
 *
 *     y[l, j, c] = (x[l, j, c] + ... + x[l, j + count - 1, c]) / count,   j <= columns - count
 *
 * Needs:  `scratch` for one line.
 */
export function f32_line_means(
  lines: i32,
  columns: i32,
  channels: i32,
  count: i32,
  x: usize,
  y: usize,
  scratch: usize,
): void {
  const n = (columns - count + 1) * channels;
  for (let l = 0; l < lines; l++) {
    windows(n, x, floats(channels), count, y, scratch);
    x += floats(columns * channels);
    y += floats(n);
  }
}

/** See the head of this file. */
export function f32_moving_average(
  batch: i32,
  time: i32,
  channels: i32,
  half: i32,
  x: usize,
  y: usize,
  scratch: usize,
): void {
  const row = floats(channels);
  const size = (time as usize) * row;
  const edge = (half as usize) * row;
  const sums = scratch + size + 4 * edge;
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < half; t++) {
      memory.copy(scratch + (t as usize) * row, x, row);
      memory.copy(scratch + edge + size + (t as usize) * row, x + size - row, row);
    }
    memory.copy(scratch + edge, x, size);
    windows(time * channels, scratch, row, 2 * half + 1, y, sums);
    x += size;
    y += size;
  }
}

/**
 * The transpose of the same map: dx from dy. What windows took from beyond the ends is added to the
 * first and last step.
 */
export function f32_moving_average_grad(
  batch: i32,
  time: i32,
  channels: i32,
  half: i32,
  dy: usize,
  dx: usize,
  scratch: usize,
): void {
  const row = floats(channels);
  const size = (time as usize) * row;
  const edge = (half as usize) * row;
  const sums = scratch + size + 4 * edge;
  memory.fill(scratch, 0, 2 * edge);
  memory.fill(scratch + 2 * edge + size, 0, 2 * edge);
  for (let b = 0; b < batch; b++) {
    memory.copy(scratch + 2 * edge, dy, size);
    windows(time * channels, scratch + edge, row, 2 * half + 1, dx, sums);
    for (let t = 0; t < half; t++) {
      overhang(channels, scratch + (t as usize) * row, half, row, dx);
      overhang(channels, scratch + edge + size + (t as usize) * row, half, row, dx + size - row);
    }
    dy += size;
    dx += size;
  }
}

/** dx += the mean over the 2 half + 1 rows from x on. */
function overhang(n: i32, x: usize, half: i32, row: usize, dx: usize): void {
  const count = 2 * half + 1;
  for (let j = 0; j < n; j++) {
    let s: f32 = 0;
    for (let k = 0; k < count; k++) s += load<f32>(x + (k as usize) * row);
    store<f32>(dx, load<f32>(dx) + s / (count as f32));
    x += 4;
    dx += 4;
  }
}
