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
 */

/** The list of 32-bit integers that describes patches. */
@unmanaged
export class Patches {
  outD: i32;
  outH: i32;
  outW: i32;
  strideD: i32;
  strideH: i32;
  strideW: i32;
  padD: i32;
  padH: i32;
  padW: i32;
  inD: i32;
  inH: i32;
  row: i32;
  tapsH: i32;
  tapsW: i32;
  run: i32;
  dilationD: i32;
  dilationH: i32;
  dilationW: i32;
}

/**
 * dst[panel][position][line] = P[p + position, first + line] for `count` steps of the patches as
 * lines. Missing lines are zero; reads only what is in the image.
 */
export function packTaps(
  dst: usize,
  image: usize,
  list: Patches,
  first: i32,
  count: i32,
  p: i32,
  positions: i32,
  width: i32,
): void {
  const run = list.run, tapsH = list.tapsH, tapsW = list.tapsW;
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
  list: Patches,
  kd: i32,
  kh: i32,
  kw: i32,
  r: i32,
  length: i32,
  p: i32,
  positions: i32,
  width: i32,
): void {
  const outW = list.outW, inD = list.inD, inH = list.inH, row = list.row, strideW = list.strideW;
  const shiftD = kd * list.dilationD - list.padD;
  const shiftH = kh * list.dilationH - list.padH;
  // Where the floats are in the row: ow * strideW - shift; all of them are inside for low <= ow < high.
  const shift = list.padW - kw * list.dilationW - r;
  const last = row - length + shift;
  const low = shift > 0 ? min((shift + strideW - 1) / strideW, outW) : 0;
  const high = last < 0 ? low : max(low, min(last / strideW + 1, outW));
  const step = (width as usize) << 2;
  const stride = (strideW as usize) << 2;
  let ow = p % outW;
  let rest = p / outW;
  let oh = rest % list.outH;
  rest /= list.outH;
  let od = rest % list.outD;
  let n = rest / list.outD;
  for (let left = positions; left > 0;) {
    const end = min(outW, ow + left);
    left -= end - ow;
    const d = od * list.strideD + shiftD;
    const h = oh * list.strideH + shiftH;
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
    if (++oh == list.outH) {
      oh = 0;
      if (++od == list.outD) {
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
