/**
 * Grey-scale dilation of images with channels last, and its gradients.
 *
 *     y[n, oh, ow, c] = max over kh, kw of x[n, oh * strideH - padH + kh * dilationH, ..w.., c] + w[kh, kw, c]
 *
 * over the taps inside of the image. A list of 32-bit integers gives the sizes, in the order of the
 * constants below. Needs sizes >= 1, results apart from the rest; reads only what is in the arrays.
 */
import { floats, item } from "./address";
import { loadLanes, storeLanes } from "./lanes";

const OUT_H = 0, OUT_W = 1, STRIDE_H = 2, STRIDE_W = 3, PAD_H = 4, PAD_W = 5;
const IN_H = 6, IN_W = 7, TAPS_H = 8, TAPS_W = 9, DILATION_H = 10, DILATION_W = 11, CHANNELS = 12;

/** The largest sum of each window. */
export function f32_dilation(batch: i32, list: usize, x: usize, w: usize, y: usize): void {
  everyOutput(0, batch, list, x, w, y, 0, 0);
}

/** dx += dy where the first of the largest sums of each window lies. */
export function f32_dilation_input(batch: i32, list: usize, x: usize, w: usize, dy: usize, dx: usize): void {
  everyOutput(1, batch, list, x, w, dy, dx, 0);
}

/**
 * dw += dy at the tap of the first of the largest sums of each window. `scratch` has the size of dw.
 *
 * Order:  a row of outputs from zero, then the rows: at most (outW + batch outH) 2^-24 sum |dy| of error.
 */
export function f32_dilation_filter(
  batch: i32,
  list: usize,
  x: usize,
  w: usize,
  dy: usize,
  dw: usize,
  scratch: usize,
): void {
  everyOutput(2, batch, list, x, w, dy, dw, scratch);
}

/** `task` (0 to 2, a constant): y is written, or dx or dw is added to. */
@inline
function everyOutput(
  task: i32,
  batch: i32,
  list: usize,
  x: usize,
  w: usize,
  y: usize,
  result: usize,
  scratch: usize,
): void {
  const channels = item(list, CHANNELS);
  const inH = item(list, IN_H), inW = item(list, IN_W);
  const pixel = floats(channels);
  const size = floats(item(list, TAPS_H) * item(list, TAPS_W) * channels);
  for (let n = 0; n < batch; n++) {
    const image = ((n * inH * inW) as usize) * pixel;
    for (let oh = 0; oh < item(list, OUT_H); oh++) {
      const h = oh * item(list, STRIDE_H) - item(list, PAD_H);
      if (task == 2) memory.fill(scratch, 0, size);
      for (let ow = 0; ow < item(list, OUT_W); ow++) {
        const v = ow * item(list, STRIDE_W) - item(list, PAD_W);
        const to = task == 1 ? result + image : scratch;
        let c = 0;
        for (; c + 4 <= channels; c += 4) window(task, 4, list, h, v, x + image, w, y, to, floats(c));
        if (c < channels) window(task, channels - c, list, h, v, x + image, w, y, to, floats(c));
        y += pixel;
      }
      if (task == 2) {
        for (let at: usize = 0; at < size; at += 4) {
          store<f32>(result + at, load<f32>(result + at) + load<f32>(scratch + at));
        }
      }
    }
  }
}

/** `width` channels (4, a constant, or 1 to 3), `c` bytes from the first, of the output at row h, column v. */
@inline
function window(
  task: i32,
  width: i32,
  list: usize,
  h: i32,
  v: i32,
  x: usize,
  w: usize,
  y: usize,
  to: usize,
  c: usize,
): void {
  const inH = item(list, IN_H), inW = item(list, IN_W);
  const tapsH = item(list, TAPS_H), tapsW = item(list, TAPS_W);
  const pixel = floats(item(list, CHANNELS));
  let best = f32x4.splat(-Infinity);
  let place = i32x4.splat(-1);
  for (let kh = 0; kh < tapsH; kh++) {
    const row = h + kh * item(list, DILATION_H);
    if ((row as u32) >= (inH as u32)) continue;
    for (let kw = 0; kw < tapsW; kw++) {
      const column = v + kw * item(list, DILATION_W);
      if ((column as u32) >= (inW as u32)) continue;
      const tap = kh * tapsW + kw;
      const value = f32x4.add(
        loadLanes(x + ((row * inW + column) as usize) * pixel + c, width),
        loadLanes(w + (tap as usize) * pixel + c, width),
      );
      const isBetter = f32x4.gt(value, best);
      best = v128.bitselect(value, best, isBetter);
      if (task != 0) place = v128.bitselect(i32x4.splat(tap), place, isBetter);
    }
  }
  if (task == 0) {
    storeLanes(y + c, best, width);
    return;
  }
  const slope = loadLanes(y + c, width);
  for (let kh = 0; kh < tapsH; kh++) {
    const row = h + kh * item(list, DILATION_H);
    if ((row as u32) >= (inH as u32)) continue;
    for (let kw = 0; kw < tapsW; kw++) {
      const column = v + kw * item(list, DILATION_W);
      if ((column as u32) >= (inW as u32)) continue;
      const tap = kh * tapsW + kw;
      const at = to + c + ((task == 1 ? row * inW + column : tap) as usize) * pixel;
      const part = v128.and(slope, i32x4.eq(i32x4.splat(tap), place));
      storeLanes(at, f32x4.add(loadLanes(at, width), part), width);
    }
  }
}
