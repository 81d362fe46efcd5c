/**
 * Centred moving averages over the middle axis of [batch, time, channels], the ends repeated.
 *
 *     y[t] = (x[t - h] + ... + x[t + h]) / (2 h + 1)
 *
 * Needs:  batch, time, channels >= 1; h >= 1; any alignment; nothing past the arrays is touched.
 * Order:  a window of c is cut into blocks of m, the whole part of the root of c, and less than 2 m
 *         left over. Sums of m neighbours are taken once for all windows; those of the blocks and
 *         what is left are added in rising order: |error| <= (3 m + 3) 2^-24 mean |x|.
 * Pieces: `steps` of time and `width` channels at a time change no bit. `scratch` has room for
 *         (3 steps + 4 h) width floats: a piece with h steps on both sides, its sums, its averages.
 */
import { floats } from "./address";
import { loadLanes, storeLanes } from "./lanes";

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
    let s = loadLanes(p, lanes);
    for (let k = 1; k < blocks; k++) {
      p += bStep;
      s = f32x4.add(s, loadLanes(p, lanes));
    }
    p = x;
    for (let k = 0; k < rest; k++) {
      s = f32x4.add(s, loadLanes(p, lanes));
      p += step;
    }
    if (divisor) s = f32x4.div(s, total);
    storeLanes(y, s, lanes);
    b += 16;
    x += 16;
    y += 16;
  }
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
  steps: i32,
  width: i32,
  x: usize,
  y: usize,
  scratch: usize,
): void {
  const size = (time as usize) * floats(channels);
  for (let b = 0; b < batch; b++) {
    averages(time, channels, half, steps, width, false, x, y, scratch);
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
  steps: i32,
  width: i32,
  dy: usize,
  dx: usize,
  scratch: usize,
): void {
  const row = floats(channels);
  const size = (time as usize) * row;
  for (let b = 0; b < batch; b++) {
    averages(time, channels, half, steps, width, true, dy, dx, scratch);
    for (let t = 0; t < half; t++) {
      const first = max(0, time + t - half);
      overhang(channels, dy, min(t + 1, time), row, 2 * half + 1, dx);
      overhang(
        channels,
        dy + (first as usize) * row,
        time - first,
        row,
        2 * half + 1,
        dx + size - row,
      );
    }
    dy += size;
    dx += size;
  }
}

/** Averages of [time, channels], with zeros or the end steps again beyond the ends. */
function averages(
  time: i32,
  channels: i32,
  half: i32,
  steps: i32,
  width: i32,
  withZeros: bool,
  x: usize,
  y: usize,
  scratch: usize,
): void {
  const row = floats(channels);
  for (let c = 0; c < channels; c += width) {
    const n = min(width, channels - c);
    const line = floats(n);
    for (let t = 0; t < time; t += steps) {
      const count = min(steps, time - t);
      const sums = scratch + ((count + 2 * half) as usize) * line;
      const to = y + (t as usize) * row + floats(c);
      const means = n == channels ? to : sums + ((count + 2 * half) as usize) * line;
      gather(t - half, t + count + half, time, n, row, withZeros, x + floats(c), scratch);
      windows(count * n, scratch, line, 2 * half + 1, means, sums);
      if (n < channels) copyRows(count, line, means, line, to, row);
    }
  }
}

/** Copies steps `from` <= t < `end` of n channels, of which some may lie beyond the ends. */
function gather(
  from: i32,
  end: i32,
  time: i32,
  n: i32,
  row: usize,
  withZeros: bool,
  x: usize,
  to: usize,
): void {
  const line = floats(n);
  for (let t = from; t < min(end, 0); t++, to += line) beyond(line, withZeros, x, to);
  const first = max(from, 0);
  const count = min(end, time) - first;
  copyRows(count, line, x + (first as usize) * row, row, to, line);
  to += (count as usize) * line;
  const last = x + ((time - 1) as usize) * row;
  for (let t = max(from, time); t < end; t++, to += line) beyond(line, withZeros, last, to);
}

@inline
function beyond(bytes: usize, withZeros: bool, x: usize, to: usize): void {
  if (withZeros) memory.fill(to, 0, bytes);
  else memory.copy(to, x, bytes);
}

function copyRows(
  rows: i32,
  bytes: usize,
  x: usize,
  xStep: usize,
  y: usize,
  yStep: usize,
): void {
  if (xStep == yStep) {
    memory.copy(y, x, (rows as usize) * xStep);
    return;
  }
  for (let i = 0; i < rows; i++, x += xStep, y += yStep) memory.copy(y, x, bytes);
}

/** dx += the sum of `count` rows from x on, over `divisor`. */
function overhang(n: i32, x: usize, count: i32, row: usize, divisor: i32, dx: usize): void {
  for (let j = 0; j < n; j++) {
    let s: f32 = 0;
    for (let k = 0; k < count; k++) s += load<f32>(x + (k as usize) * row);
    store<f32>(dx, load<f32>(dx) + s / (divisor as f32));
    x += 4;
    dx += 4;
  }
}
