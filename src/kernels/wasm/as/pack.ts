/** Copies of matrix blocks into the order in which the product reads them. */
import { transpose4x4, zipHigh, zipLow } from "./lanes";

/**
 * Packs a matrix of `count` lines, each of `k` floats, into panels of `width` lines.
 *
 *     dst[panel][step][line] = src[(panel * width + line) * across + step * along]
 *
 * Missing lines of the last panel are zero. `across` and `along` are strides in floats: one of them
 * is 1 in all products of whole tensors, and both cases run in vectors; nothing past the matrix is read.
 */
export function f32_pack(
  dst: usize,
  src: usize,
  across: usize,
  along: usize,
  count: i32,
  k: i32,
  width: i32,
): void {
  for (let first = 0; first < count; first += width) {
    const lines = min(width, count - first);
    const from = src + (((first as usize) * across) << 2);
    if (along == 1) packRows(dst, from, across, lines, k, width);
    else if (across != 1 || lines < width) packColumns(dst, from, across, along, lines, k, width);
    else if (width == 8) packRuns(dst, from, along, k, 8);
    else if (width == 6) packRuns(dst, from, along, k, 6);
    else if (width == 12) packRuns(dst, from, along, k, 12);
    else if (width == 4) packRuns(dst, from, along, k, 4);
    else packColumns(dst, from, across, along, lines, k, width);
    dst += ((k * width) as usize) << 2;
  }
}

/** Steps are contiguous: each copies a run of `width` (a constant) lines. */
@inline
function packRuns(dst: usize, src: usize, along: usize, k: i32, width: i32): void {
  for (let p = 0; p < k; p++) {
    v128.store(dst, v128.load(src));
    if (width == 6) store<u64>(dst, load<u64>(src, 16), 16);
    if (width >= 8) v128.store(dst, v128.load(src, 16), 16);
    if (width == 12) v128.store(dst, v128.load(src, 32), 32);
    src += along << 2;
    dst += (width as usize) << 2;
  }
}

/** Lines are contiguous: blocks of four lines and four steps are transposed, of two lines too. */
@inline
function packRows(dst: usize, src: usize, across: usize, lines: i32, k: i32, width: i32): void {
  const step = (width as usize) << 2;
  let line = 0;
  for (; line + 4 <= lines; line += 4) {
    const from = src + (((line as usize) * across) << 2);
    const to = dst + ((line as usize) << 2);
    let p = 0;
    for (; p + 4 <= k; p += 4) {
      transpose4x4(from + ((p as usize) << 2), across << 2, to + (p as usize) * step, step);
    }
    for (; p < k; p++) {
      for (let i = 0; i < 4; i++) {
        const at = from + (((i as usize) * across + (p as usize)) << 2);
        store<f32>(to + (p as usize) * step + ((i as usize) << 2), load<f32>(at));
      }
    }
  }
  if (line + 2 <= lines) {
    packPair(dst + ((line as usize) << 2), src + (((line as usize) * across) << 2), across << 2, k, step);
    line += 2;
  }
  for (; line < width; line++) {
    const from = src + (((line as usize) * across) << 2);
    let to = dst + ((line as usize) << 2);
    for (let p = 0; p < k; p++, to += step) {
      store<f32>(to, line < lines ? load<f32>(from + ((p as usize) << 2)) : 0);
    }
  }
}

/** Two lines, `across` bytes apart, into places `step` bytes apart. */
@inline
function packPair(dst: usize, src: usize, across: usize, k: i32, step: usize): void {
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    const x = v128.load(src);
    const y = v128.load(src + across);
    const low = zipLow(x, y);
    const high = zipHigh(x, y);
    v128.store_lane<f64>(dst, low, 0);
    v128.store_lane<f64>(dst + step, low, 1);
    v128.store_lane<f64>(dst + 2 * step, high, 0);
    v128.store_lane<f64>(dst + 3 * step, high, 1);
    src += 16;
    dst += 4 * step;
  }
  for (; p < k; p++) {
    store<f32>(dst, load<f32>(src));
    store<f32>(dst, load<f32>(src + across), 4);
    src += 4;
    dst += step;
  }
}

/** Steps are contiguous, or nothing is: each step copies a run of lines. */
@inline
function packColumns(
  dst: usize,
  src: usize,
  across: usize,
  along: usize,
  lines: i32,
  k: i32,
  width: i32,
): void {
  const whole = across == 1 ? lines & ~3 : 0;
  for (let p = 0; p < k; p++) {
    let line = 0;
    for (; line < whole; line += 4) {
      v128.store(dst + ((line as usize) << 2), v128.load(src + ((line as usize) << 2)));
    }
    for (; line < lines; line++) {
      store<f32>(dst + ((line as usize) << 2), load<f32>(src + (((line as usize) * across) << 2)));
    }
    for (; line < width; line++) store<f32>(dst + ((line as usize) << 2), 0);
    src += along << 2;
    dst += (width as usize) << 2;
  }
}
