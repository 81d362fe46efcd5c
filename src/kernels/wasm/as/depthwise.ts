/**
 * Depthwise convolutions of images with channels last, and the gradient of their filter.
 *
 *     y[n, oh, ow, c] = sum over kh, kw of x[n, oh * strideH - padH + kh * dilationH, ..w.., c] w[kh, kw, c]
 *
 * Taps outside of the image are left out. A list of 32-bit integers gives the sizes, in the order of
 * the constants below; strides of y are in floats, so that y may be a part of the pixels of an image.
 */
import { floats, item } from "./address";
import { loadLanes, loadPart, storePart } from "./lanes";
import { madd } from "./madd";

const OUT_H = 0, OUT_W = 1, STRIDE_H = 2, STRIDE_W = 3, PAD_H = 4, PAD_W = 5;
const IN_H = 6, IN_W = 7, TAPS_H = 8, TAPS_W = 9, DILATION_H = 10, DILATION_W = 11;
const CHANNELS = 12, Y_IMAGE = 13, Y_ROW = 14, Y_COLUMN = 15;

/** The first multiple of `step` from `start` on that is not negative: how many steps that takes. */
@inline
function firstInside(start: i32, step: i32, limit: i32): i32 {
  return start < 0 ? min((step - 1 - start) / step, limit) : 0;
}

/** How many steps from `start` on stay below `size`. */
@inline
function endInside(start: i32, step: i32, size: i32, limit: i32): i32 {
  return start >= size ? 0 : min((size - 1 - start) / step + 1, limit);
}

/**
 * See the head of this file.
 *
 * Needs:  all sizes >= 1; any alignment; y apart from x and w; reads only what is in the arrays.
 * Order:  the taps in rising order, one multiply-add each: the bits depend on nothing else.
 */
export function f32_depthwise(batch: i32, list: usize, x: usize, w: usize, y: usize): void {
  const outH = item(list, OUT_H), outW = item(list, OUT_W);
  const inH = item(list, IN_H), inW = item(list, IN_W);
  const tapsH = item(list, TAPS_H), tapsW = item(list, TAPS_W);
  const dilationH = item(list, DILATION_H), dilationW = item(list, DILATION_W);
  const strideW = item(list, STRIDE_W), padW = item(list, PAD_W);
  const channels = item(list, CHANNELS);
  const pixel = floats(channels);
  const yColumn = floats(item(list, Y_COLUMN));
  const reach = (tapsW - 1) * dilationW;
  // Outputs low <= ow < high have all their taps of a row inside.
  const low = min((max(padW, 0) + strideW - 1) / strideW, outW);
  const last = inW - 1 - reach + padW;
  const high = last < 0 ? low : max(low, min(last / strideW + 1, outW));
  for (let n = 0; n < batch; n++) {
    const image = x + (n as usize) * ((inH * inW) as usize) * pixel;
    for (let oh = 0; oh < outH; oh++) {
      const h = oh * item(list, STRIDE_H) - item(list, PAD_H);
      const kh = firstInside(h, dilationH, tapsH);
      const rows = max(endInside(h, dilationH, inH, tapsH) - kh, 0);
      const row = image + (((h + kh * dilationH) * inW) as usize) * pixel;
      const filter = w + ((kh * tapsW) as usize) * pixel;
      const xStep = ((dilationH * inW) as usize) * pixel;
      let to = y + floats(n * item(list, Y_IMAGE) + oh * item(list, Y_ROW));
      for (let ow = 0; ow < outW;) {
        const at = ow * strideW - padW;
        if (ow >= low && ow + 4 <= high) {
          const from = row + (at as usize) * pixel;
          pixels(4, channels, rows, tapsW, from, xStep, (dilationW as usize) * pixel, filter,
            (tapsW as usize) * pixel, (strideW as usize) * pixel, to, yColumn);
          ow += 4;
          to += 4 * yColumn;
          continue;
        }
        const kw = firstInside(at, dilationW, tapsW);
        const columns = max(endInside(at, dilationW, inW, tapsW) - kw, 0);
        const from = row + ((at + kw * dilationW) as usize) * pixel;
        pixels(1, channels, rows, columns, from, xStep, (dilationW as usize) * pixel,
          filter + (kw as usize) * pixel, (tapsW as usize) * pixel, 0, to, yColumn);
        ow++;
        to += yColumn;
      }
    }
  }
}

/** `count` (4 or 1, a constant) outputs side by side over rows x columns taps, all of them inside. */
@inline
function pixels(
  count: i32,
  channels: i32,
  rows: i32,
  columns: i32,
  x: usize,
  xRow: usize,
  xColumn: usize,
  w: usize,
  wRow: usize,
  xStep: usize,
  y: usize,
  yStep: usize,
): void {
  const pixel = floats(channels);
  let c = 0;
  for (; c + 8 <= channels; c += 8) {
    lanes(count, 8, rows, columns, x + floats(c), xRow, xColumn, w + floats(c), wRow, pixel, xStep, y + floats(c), yStep);
  }
  if (c + 4 <= channels) {
    lanes(count, 4, rows, columns, x + floats(c), xRow, xColumn, w + floats(c), wRow, pixel, xStep, y + floats(c), yStep);
    c += 4;
  }
  if (c < channels) {
    lanes(count, channels - c, rows, columns, x + floats(c), xRow, xColumn, w + floats(c), wRow, pixel, xStep, y + floats(c), yStep);
  }
}

/** `width` channels: 8 and 4 are constants, 1 to 3 are not. */
@inline
function lanes(
  count: i32,
  width: i32,
  rows: i32,
  columns: i32,
  x: usize,
  xRow: usize,
  xColumn: usize,
  w: usize,
  wRow: usize,
  wColumn: usize,
  xStep: usize,
  y: usize,
  yStep: usize,
): void {
  const zero = f32x4.splat(0);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  let t0 = zero, t1 = zero, t2 = zero, t3 = zero;
  for (let i = 0; i < rows; i++) {
    let from = x;
    let at = w;
    for (let j = 0; j < columns; j++) {
      const v = loadLanes(at, width);
      s0 = madd(loadLanes(from, width), v, s0);
      if (count == 4) {
        s1 = madd(loadLanes(from + xStep, width), v, s1);
        s2 = madd(loadLanes(from + 2 * xStep, width), v, s2);
        s3 = madd(loadLanes(from + 3 * xStep, width), v, s3);
      }
      if (width == 8) {
        const u = v128.load(at, 16);
        t0 = madd(v128.load(from, 16), u, t0);
        if (count == 4) {
          t1 = madd(v128.load(from + xStep, 16), u, t1);
          t2 = madd(v128.load(from + 2 * xStep, 16), u, t2);
          t3 = madd(v128.load(from + 3 * xStep, 16), u, t3);
        }
      }
      from += xColumn;
      at += wColumn;
    }
    x += xRow;
    w += wRow;
  }
  put(y, width, s0, t0);
  if (count == 4) {
    put(y + yStep, width, s1, t1);
    put(y + 2 * yStep, width, s2, t2);
    put(y + 3 * yStep, width, s3, t3);
  }
}

@inline
function put(y: usize, width: i32, s: v128, t: v128): void {
  if (width < 4) {
    storePart(y, s, width);
    return;
  }
  v128.store(y, s);
  if (width == 8) v128.store(y, t, 16);
}

/**
 * dw[kh, kw, c] = sum over n, oh, ow of x[n, ..h.., ..w.., c] dy[n, oh, ow, c], with the list of the
 * convolution, whose strides of y are not read: dy is contiguous.
 *
 * Needs:  all sizes >= 1; `scratch` for tapsH * tapsW * channels floats; dw apart from the rest.
 * Order:  a row from left to right from zero, the rows of an image from zero, the images.
 * Error:  at most (outW + outH + batch) 2^-24 sum |x dy|.
 */
export function f32_depthwise_filter(
  batch: i32,
  list: usize,
  x: usize,
  dy: usize,
  dw: usize,
  scratch: usize,
): void {
  const outH = item(list, OUT_H), outW = item(list, OUT_W);
  const inH = item(list, IN_H), inW = item(list, IN_W);
  const tapsH = item(list, TAPS_H), tapsW = item(list, TAPS_W);
  const strideW = item(list, STRIDE_W);
  const channels = item(list, CHANNELS);
  const pixel = floats(channels);
  const size = tapsH * tapsW * channels;
  memory.fill(dw, 0, floats(size));
  for (let n = 0; n < batch; n++) {
    memory.fill(scratch, 0, floats(size));
    for (let oh = 0; oh < outH; oh++) {
      let sums = scratch;
      for (let kh = 0; kh < tapsH; kh++) {
        const h = oh * item(list, STRIDE_H) - item(list, PAD_H) + kh * item(list, DILATION_H);
        if ((h as u32) >= (inH as u32)) {
          sums += (tapsW as usize) * pixel;
          continue;
        }
        for (let kw = 0; kw < tapsW; kw++) {
          const shift = kw * item(list, DILATION_W) - item(list, PAD_W);
          const first = firstInside(shift, strideW, outW);
          const end = endInside(shift, strideW, inW, outW);
          if (first < end) {
            const w = first * strideW + shift;
            const from = x + (((n * inH + h) * inW + w) as usize) * pixel;
            const at = dy + (((n * outH + oh) * outW + first) as usize) * pixel;
            addRow(channels, end - first, from, (strideW as usize) * pixel, at, pixel, sums);
          }
          sums += pixel;
        }
      }
    }
    let i = 0;
    for (; i + 4 <= size; i += 4) {
      const at = dw + floats(i);
      v128.store(at, f32x4.add(v128.load(at), v128.load(scratch + floats(i))));
    }
    for (; i < size; i++) {
      const at = dw + floats(i);
      store<f32>(at, load<f32>(at) + load<f32>(scratch + floats(i)));
    }
  }
}

/** sums[c] += sum over `count` pixels of x[c] * dy[c]. */
@inline
function addRow(
  channels: i32,
  count: i32,
  x: usize,
  xStep: usize,
  dy: usize,
  dyStep: usize,
  sums: usize,
): void {
  let c = 0;
  for (; c + 16 <= channels; c += 16) dots(16, count, x + floats(c), xStep, dy + floats(c), dyStep, sums + floats(c));
  for (; c + 4 <= channels; c += 4) dots(4, count, x + floats(c), xStep, dy + floats(c), dyStep, sums + floats(c));
  if (c < channels) dots(channels - c, count, x + floats(c), xStep, dy + floats(c), dyStep, sums + floats(c));
}

/** `width` channels: 16 and 4 are constants, 1 to 3 are not. */
@inline
function dots(
  width: i32,
  count: i32,
  x: usize,
  xStep: usize,
  dy: usize,
  dyStep: usize,
  sums: usize,
): void {
  const zero = f32x4.splat(0);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  for (let i = 0; i < count; i++) {
    s0 = madd(loadLanes(x, width), loadLanes(dy, width), s0);
    if (width == 16) {
      s1 = madd(v128.load(x, 16), v128.load(dy, 16), s1);
      s2 = madd(v128.load(x, 32), v128.load(dy, 32), s2);
      s3 = madd(v128.load(x, 48), v128.load(dy, 48), s3);
    }
    x += xStep;
    dy += dyStep;
  }
  if (width < 4) {
    storePart(sums, f32x4.add(loadPart(sums, width), s0), width);
    return;
  }
  v128.store(sums, f32x4.add(v128.load(sums), s0));
  if (width == 16) {
    v128.store(sums, f32x4.add(v128.load(sums, 16), s1), 16);
    v128.store(sums, f32x4.add(v128.load(sums, 32), s2), 32);
    v128.store(sums, f32x4.add(v128.load(sums, 48), s3), 48);
  }
}

/** y[i * count + j] = x[i] for i < n, j < count: each channel for all of its filters. */
export function f32_repeat(n: i32, count: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i++, x += 4) {
    const value = load<f32>(x);
    for (let j = 0; j < count; j++, y += 4) store<f32>(y, value);
  }
}

/** y[i] = sum over j < count of x[i * count + j], from zero in rising order. */
export function f32_sum_groups(n: i32, count: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i++, y += 4) {
    let sum: f32 = 0;
    for (let j = 0; j < count; j++, x += 4) sum += load<f32>(x);
    store<f32>(y, sum);
  }
}
