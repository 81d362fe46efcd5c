/**
 * Patches of images in the order in which the matrix product reads them: the matrix of a convolution
 * is never made, its blocks are packed straight from the image.
 *
 *     P[position, step] = image[n, od * strideD - padD + kd * dilationD, ..h.., w, c], zero outside
 *     position = ((n * outD + od) * outH + oh) * outW + ow
 *     step     = ((kd * tapsH + kh) * tapsW + kw) * run + r
 *
 * An image is [n, inD, inH, row], and everything along a row is counted in floats. A run is what one
 * tap reads without a gap: the channels, or, if taps are neighbours, the channels of a whole row of
 * the filter (then tapsW is 1). Its elements lie inside or outside of the row one by one.
 *
 * A list of 32-bit integers describes it, in the order of the constants below.
 */
import { storeTransposed, zipHigh, zipLow } from "./lanes";

const OUT_D = 0, OUT_H = 1, OUT_W = 2;
const STRIDE_D = 3, STRIDE_H = 4, STRIDE_W = 5;
const PAD_D = 6, PAD_H = 7, PAD_W = 8;
const IN_D = 9, IN_H = 10, ROW = 11;
const TAPS_H = 12, TAPS_W = 13, RUN = 14;
const DILATION_D = 15, DILATION_H = 16, DILATION_W = 17;

/** Most lines of a panel, and most steps of a block of the product. */
const LINES: i32 = 12;
const STEPS: i32 = 256;

/** Bytes of scratch memory of packPositions: the lines, a row of zeros, and a row for each line. */
export const PATCH_SCRATCH: i32 = LINES * 32 + (STEPS * (LINES + 1) << 2);

@inline
function item(list: usize, i: i32): i32 {
  return load<i32>(list + ((i as usize) << 2));
}

/**
 * dst[panel][step][line] = P[first + line, p + step] for `count` positions; missing lines are zero.
 *
 * Needs:  steps <= 256, width <= 12, PATCH_SCRATCH bytes of scratch; reads only what is in the image.
 */
export function packPositions(
  dst: usize,
  image: usize,
  list: usize,
  first: i32,
  count: i32,
  p: i32,
  steps: i32,
  width: i32,
  scratch: usize,
): void {
  const outD = item(list, OUT_D), outH = item(list, OUT_H), outW = item(list, OUT_W);
  const inD = item(list, IN_D), inH = item(list, IN_H), row = item(list, ROW);
  const run = item(list, RUN), tapsH = item(list, TAPS_H), tapsW = item(list, TAPS_W);
  const dilationD = item(list, DILATION_D), dilationH = item(list, DILATION_H);
  const dilationW = item(list, DILATION_W);
  const strideD = item(list, STRIDE_D), strideH = item(list, STRIDE_H);
  const strideW = item(list, STRIDE_W);
  const padD = item(list, PAD_D), padH = item(list, PAD_H), padW = item(list, PAD_W);
  const imageBytes = ((inD * inH) as usize) * ((row as usize) << 2);
  const zeros = scratch + LINES * 32;
  memory.fill(zeros, 0, min(steps, run) << 2);
  let ow = first % outW;
  let rest = first / outW;
  let oh = rest % outH;
  rest /= outH;
  let od = rest % outD;
  let from = image + ((rest / outD) as usize) * imageBytes;
  const firstRun = p / run;
  const kw0 = firstRun % tapsW;
  const kh0 = firstRun / tapsW % tapsH;
  const kd0 = firstRun / tapsW / tapsH;
  const extent = (width - 1) * strideW;
  for (let panel = 0; panel < count; panel += width) {
    const lines = min(width, count - panel);
    // Positions side by side whose runs are all inside of a row need no record each.
    const isOneRow = lines == width && ow + lines <= outW;
    let isListed = false;
    const d0 = od * strideD - padD, h0 = oh * strideH - padH, f0 = ow * strideW - padW;
    let kd = kd0, kh = kh0, kw = kw0;
    let r = p - firstRun * run;
    for (let s = 0; s < steps;) {
      const length = min(run - r, steps - s);
      const d = d0 + kd * dilationD, h = h0 + kh * dilationH, f = f0 + kw * dilationW + r;
      const isRowInside = (d as u32) < (inD as u32) && (h as u32) < (inH as u32);
      if (isOneRow && !isRowInside) {
        memory.fill(dst, 0, ((length * width) as usize) << 2);
      } else if (isOneRow && f >= 0 && f + extent + length <= row) {
        const at = from + ((((d * inH + h) as usize) * (row as usize) + (f as usize)) << 2);
        if (strideW == 1) {
          slide(dst, at, length, width);
        } else {
          for (let i = 0; i < lines; i++) {
            store<usize>(scratch + ((i as usize) << 5), at + (((i * strideW) as usize) << 2));
          }
          interleave(dst, scratch, length, width);
        }
      } else {
        if (!isListed) {
          listLines(scratch, lines, list, from, od, oh, ow, imageBytes);
          isListed = true;
        }
        for (let i = 0; i < width; i++) {
          const record = scratch + ((i as usize) << 5);
          let at = zeros;
          if (i < lines) {
            const d = load<i32>(record, 8) + kd * dilationD;
            const h = load<i32>(record, 12) + kh * dilationH;
            const f = load<i32>(record, 16) + kw * dilationW + r;
            const isRowInside = (d as u32) < (inD as u32) && (h as u32) < (inH as u32);
            if (isRowInside && f < row && f + length > 0) {
              const start = load<usize>(record, 4) + ((((d * inH + h) as usize) * (row as usize)) << 2);
              if (f >= 0 && f + length <= row) {
                at = start + ((f as usize) << 2);
              } else {
                at = zeros + ((((i + 1) * STEPS) as usize) << 2);
                edge(at, start, f, length, row, true);
              }
            }
          }
          store<usize>(record, at);
        }
        interleave(dst, scratch, length, width);
      }
      dst += ((length * width) as usize) << 2;
      s += length;
      r = 0;
      if (++kw == tapsW) {
        kw = 0;
        if (++kh == tapsH) {
          kh = 0;
          kd++;
        }
      }
    }
    ow += lines;
    while (ow >= outW) {
      ow -= outW;
      if (++oh == outH) {
        oh = 0;
        if (++od == outD) {
          od = 0;
          from += imageBytes;
        }
      }
    }
  }
}

/** A record for each of `lines` positions: room for an address, its image, and its corner. */
function listLines(
  records: usize,
  lines: i32,
  list: usize,
  from: usize,
  od: i32,
  oh: i32,
  ow: i32,
  imageBytes: usize,
): void {
  for (let i = 0; i < lines; i++) {
    store<usize>(records, from, 4);
    store<i32>(records, od * item(list, STRIDE_D) - item(list, PAD_D), 8);
    store<i32>(records, oh * item(list, STRIDE_H) - item(list, PAD_H), 12);
    store<i32>(records, ow * item(list, STRIDE_W) - item(list, PAD_W), 16);
    records += 32;
    if (++ow < item(list, OUT_W)) continue;
    ow = 0;
    if (++oh < item(list, OUT_H)) continue;
    oh = 0;
    if (++od < item(list, OUT_D)) continue;
    od = 0;
    from += imageBytes;
  }
}

/** dst[x][i] = src[x + i]: the runs of neighbours that overlap but for one float. */
@inline
function slide(dst: usize, src: usize, length: i32, width: i32): void {
  for (let x = 0; x < length; x++) {
    let i = 0;
    for (; i + 4 <= width; i += 4) {
      v128.store(dst + ((i as usize) << 2), v128.load(src + ((i as usize) << 2)));
    }
    for (; i < width; i++) store<f32>(dst + ((i as usize) << 2), load<f32>(src + ((i as usize) << 2)));
    dst += (width as usize) << 2;
    src += 4;
  }
}

/** dst[x][i] = the float x of line i, whose address is at lines + 32 i. */
@inline
function interleave(dst: usize, lines: usize, length: i32, width: i32): void {
  const step = (width as usize) << 2;
  let i = 0;
  for (; i + 4 <= width; i += 4) {
    const record = lines + ((i as usize) << 5);
    let a = load<usize>(record), b = load<usize>(record, 32);
    let c = load<usize>(record, 64), d = load<usize>(record, 96);
    let to = dst + ((i as usize) << 2);
    let x = 0;
    for (; x + 4 <= length; x += 4) {
      storeTransposed(v128.load(a), v128.load(b), v128.load(c), v128.load(d), to, step);
      a += 16;
      b += 16;
      c += 16;
      d += 16;
      to += 4 * step;
    }
    for (; x < length; x++) {
      let v = v128.load_zero<f32>(a);
      v = v128.load_lane<f32>(b, v, 1);
      v = v128.load_lane<f32>(c, v, 2);
      v128.store(to, v128.load_lane<f32>(d, v, 3));
      a += 4;
      b += 4;
      c += 4;
      d += 4;
      to += step;
    }
  }
  if (i + 2 <= width) {
    const record = lines + ((i as usize) << 5);
    let a = load<usize>(record), b = load<usize>(record, 32);
    let to = dst + ((i as usize) << 2);
    let x = 0;
    for (; x + 4 <= length; x += 4) {
      const v = v128.load(a), w = v128.load(b);
      const low = zipLow(v, w), high = zipHigh(v, w);
      v128.store_lane<f64>(to, low, 0);
      v128.store_lane<f64>(to + step, low, 1);
      v128.store_lane<f64>(to + 2 * step, high, 0);
      v128.store_lane<f64>(to + 3 * step, high, 1);
      a += 16;
      b += 16;
      to += 4 * step;
    }
    for (; x < length; x++) {
      store<f32>(to, load<f32>(a));
      store<f32>(to, load<f32>(b), 4);
      a += 4;
      b += 4;
      to += step;
    }
    i += 2;
  }
  if (i < width) {
    let a = load<usize>(lines + ((i as usize) << 5));
    let to = dst + ((i as usize) << 2);
    for (let x = 0; x < length; x++) {
      store<f32>(to, load<f32>(a));
      a += 4;
      to += step;
    }
  }
}

/**
 * dst[panel][position][line] = P[p + position, first + line] for `count` steps of the patches as
 * lines: the transpose of packPositions. Missing lines are zero; reads only what is in the image.
 */
export function packTaps(
  dst: usize,
  image: usize,
  list: usize,
  first: i32,
  count: i32,
  p: i32,
  positions: i32,
  width: i32,
): void {
  const run = item(list, RUN), tapsH = item(list, TAPS_H), tapsW = item(list, TAPS_W);
  const panelBytes = ((positions * width) as usize) << 2;
  for (let panel = 0; panel < count; panel += width) {
    const lines = min(width, count - panel);
    if (lines < width) memory.fill(dst, 0, panelBytes);
    for (let i = 0; i < lines;) {
      const at = (first + panel + i) / run;
      const r = first + panel + i - at * run;
      const length = min(run - r, lines - i);
      const kw = at % tapsW;
      const kh = at / tapsW % tapsH;
      const to = dst + ((i as usize) << 2);
      packTap(to, image, list, at / tapsW / tapsH, kh, kw, r, length, p, positions, width);
      i += length;
    }
    dst += panelBytes;
  }
}

/** `length` floats of a run, from r on, at every position. */
function packTap(
  dst: usize,
  image: usize,
  list: usize,
  kd: i32,
  kh: i32,
  kw: i32,
  r: i32,
  length: i32,
  p: i32,
  positions: i32,
  width: i32,
): void {
  const outD = item(list, OUT_D), outH = item(list, OUT_H), outW = item(list, OUT_W);
  const inD = item(list, IN_D), inH = item(list, IN_H), row = item(list, ROW);
  const strideW = item(list, STRIDE_W);
  const shiftD = kd * item(list, DILATION_D) - item(list, PAD_D);
  const shiftH = kh * item(list, DILATION_H) - item(list, PAD_H);
  // Where the floats are in the row: ow * strideW - shift; all of them are inside for low <= ow < high.
  const shift = item(list, PAD_W) - kw * item(list, DILATION_W) - r;
  const last = row - length + shift;
  const low = shift > 0 ? min((shift + strideW - 1) / strideW, outW) : 0;
  const high = last < 0 ? low : max(low, min(last / strideW + 1, outW));
  const step = (width as usize) << 2;
  const stride = (strideW as usize) << 2;
  let ow = p % outW;
  let rest = p / outW;
  let oh = rest % outH;
  rest /= outH;
  let od = rest % outD;
  let n = rest / outD;
  for (let left = positions; left > 0;) {
    const end = min(outW, ow + left);
    left -= end - ow;
    const d = od * item(list, STRIDE_D) + shiftD;
    const h = oh * item(list, STRIDE_H) + shiftH;
    const inside = (d as u32) < (inD as u32) && (h as u32) < (inH as u32);
    const from = image + ((((n * inD + d) * inH + h) as usize) * ((row as usize) << 2));
    const start = inside ? min(max(ow, low), end) : end;
    const stop = inside ? min(max(ow, high), end) : end;
    for (; ow < start; ow++, dst += step) edge(dst, from, ow * strideW - shift, length, row, inside);
    if (ow < stop) {
      const at = from + ((ow * strideW - shift) << 2);
      const size = stop - ow;
      if (length == 6) copyFew(6, dst, at, size, step, stride);
      else if (length == 4) copyFew(4, dst, at, size, step, stride);
      else if (length == 5) copyFew(5, dst, at, size, step, stride);
      else if (length == 3) copyFew(3, dst, at, size, step, stride);
      else if (length == 2) copyFew(2, dst, at, size, step, stride);
      else copyFew(length, dst, at, size, step, stride);
      dst += (size as usize) * step;
      ow = stop;
    }
    for (; ow < end; ow++, dst += step) edge(dst, from, ow * strideW - shift, length, row, inside);
    ow = 0;
    if (++oh == outH) {
      oh = 0;
      if (++od == outD) {
        od = 0;
        n++;
      }
    }
  }
}

/** `length` floats of a row from its float `f` on, zero outside of the row. */
@inline
function edge(dst: usize, from: usize, f: i32, length: i32, row: i32, inside: bool): void {
  const first = inside ? min(max(-f, 0), length) : length;
  const end = inside ? max(min(row - f, length), first) : length;
  let x = 0;
  for (; x < first; x++) store<f32>(dst + ((x as usize) << 2), 0);
  const src = from + (f << 2);
  for (; x + 4 <= end; x += 4) {
    v128.store(dst + ((x as usize) << 2), v128.load(src + ((x as usize) << 2)));
  }
  for (; x < end; x++) store<f32>(dst + ((x as usize) << 2), load<f32>(src + ((x as usize) << 2)));
  for (; x < length; x++) store<f32>(dst + ((x as usize) << 2), 0);
}

/** `count` runs of `length` floats; a constant length compiles to straight code. */
@inline
function copyFew(length: i32, dst: usize, src: usize, count: i32, step: usize, stride: usize): void {
  for (let i = 0; i < count; i++) {
    let x = 0;
    for (; x + 4 <= length; x += 4) {
      v128.store(dst + ((x as usize) << 2), v128.load(src + ((x as usize) << 2)));
    }
    if (length & 2) {
      store<u64>(dst + ((x as usize) << 2), load<u64>(src + ((x as usize) << 2)));
      x += 2;
    }
    if (length & 1) store<u32>(dst + ((x as usize) << 2), load<u32>(src + ((x as usize) << 2)));
    dst += step;
    src += stride;
  }
}
