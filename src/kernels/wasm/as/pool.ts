/**
 * Pooling of images with channels last, and its gradients, in three dimensions.
 *
 * Output o sees the inputs o * stride - pad + tap that are inside of the image. A list of 32-bit
 * integers gives the sizes, in the order of the constants below.
 *
 * Needs:  all sizes >= 1; any alignment; results apart from the rest; reads only what is in the arrays.
 * Order:  outputs in rising order, for each its taps in rising order.
 */
import { floats, item } from "./address";
import { loadLanes, storeLanes } from "./lanes";

const OUT_D = 0, OUT_H = 1, OUT_W = 2, STRIDE_D = 3, STRIDE_H = 4, STRIDE_W = 5;
const PAD_D = 6, PAD_H = 7, PAD_W = 8, IN_D = 9, IN_H = 10, IN_W = 11;
const TAPS_D = 12, TAPS_H = 13, TAPS_W = 14, CHANNELS = 15;

/** What is done for `width` channels of an output: 16 or 4, constants, or 1 to 3. */
abstract class Window {
  /** Whether it takes 16. */
  abstract isWide(): bool;

  /**
   * The window has planes x rows x columns pixels (none if one of them is 0), the first at `at`, in
   * the images of x and of `dx`; planes and rows are so many bytes apart, pixels `column`.
   */
  abstract visit(
    width: i32,
    planes: i32,
    rows: i32,
    columns: i32,
    x: usize,
    plane: usize,
    row: usize,
    column: usize,
    y: usize,
    dx: usize,
  ): void;
}

/** Every window of every image: x and dx have the image's shape, y has the output's. */
@inline
function everyWindow<W extends Window>(batch: i32, list: usize, x: usize, y: usize, dx: usize): void {
  const window = changetype<W>(0);
  const outD = item(list, OUT_D), outH = item(list, OUT_H), outW = item(list, OUT_W);
  const inD = item(list, IN_D), inH = item(list, IN_H), inW = item(list, IN_W);
  const channels = item(list, CHANNELS);
  const column = floats(channels);
  const row = (inW as usize) * column;
  const plane = (inH as usize) * row;
  const whole = channels & ~3;
  for (let n = 0; n < batch; n++) {
    for (let od = 0; od < outD; od++) {
      const d = od * item(list, STRIDE_D) - item(list, PAD_D);
      const firstD = max(d, 0);
      const planes = max(min(d + item(list, TAPS_D), inD) - firstD, 0);
      for (let oh = 0; oh < outH; oh++) {
        const h = oh * item(list, STRIDE_H) - item(list, PAD_H);
        const firstH = max(h, 0);
        const rows = max(min(h + item(list, TAPS_H), inH) - firstH, 0);
        for (let ow = 0; ow < outW; ow++) {
          const w = ow * item(list, STRIDE_W) - item(list, PAD_W);
          const firstW = max(w, 0);
          const columns = max(min(w + item(list, TAPS_W), inW) - firstW, 0);
          const at = (((n * inD + firstD) * inH + firstH) as usize) * row + (firstW as usize) * column;
          let c = 0;
          if (window.isWide()) {
            for (; c + 16 <= channels; c += 16) {
              const from = at + floats(c);
              window.visit(16, planes, rows, columns, x + from, plane, row, column, y + floats(c), dx + from);
            }
          }
          for (; c < whole; c += 4) {
            const from = at + floats(c);
            window.visit(4, planes, rows, columns, x + from, plane, row, column, y + floats(c), dx + from);
          }
          if (c < channels) {
            const from = at + floats(c);
            window.visit(channels - c, planes, rows, columns, x + from, plane, row, column, y + floats(c), dx + from);
          }
          y += column;
        }
      }
    }
  }
}

class Max extends Window {
  @inline
  isWide(): bool {
    return true;
  }

  @inline
  visit(width: i32, planes: i32, rows: i32, columns: i32, x: usize, plane: usize, row: usize, column: usize, y: usize, dx: usize): void {
    let m0 = f32x4.splat(-Infinity), m1 = m0, m2 = m0, m3 = m0;
    for (let i = 0; i < planes; i++) {
      let line = x + (i as usize) * plane;
      for (let j = 0; j < rows; j++, line += row) {
        let at = line;
        let k = 0;
        if (width == 16) {
          for (; k + 3 <= columns; k += 3, at += 3 * column) {
            const next = at + column;
            const last = next + column;
            m0 = f32x4.pmax(f32x4.pmax(f32x4.pmax(m0, v128.load(at)), v128.load(next)), v128.load(last));
            m1 = f32x4.pmax(f32x4.pmax(f32x4.pmax(m1, v128.load(at, 16)), v128.load(next, 16)), v128.load(last, 16));
            m2 = f32x4.pmax(f32x4.pmax(f32x4.pmax(m2, v128.load(at, 32)), v128.load(next, 32)), v128.load(last, 32));
            m3 = f32x4.pmax(f32x4.pmax(f32x4.pmax(m3, v128.load(at, 48)), v128.load(next, 48)), v128.load(last, 48));
          }
        }
        for (; k < columns; k++, at += column) {
          m0 = f32x4.pmax(m0, loadLanes(at, width));
          if (width == 16) {
            m1 = f32x4.pmax(m1, v128.load(at, 16));
            m2 = f32x4.pmax(m2, v128.load(at, 32));
            m3 = f32x4.pmax(m3, v128.load(at, 48));
          }
        }
      }
    }
    storeLanes(y, m0, width);
    if (width == 16) {
      v128.store(y, m1, 16);
      v128.store(y, m2, 32);
      v128.store(y, m3, 48);
    }
  }
}

class MaxSlope extends Window {
  @inline
  isWide(): bool {
    return false;
  }

  @inline
  visit(width: i32, planes: i32, rows: i32, columns: i32, x: usize, plane: usize, row: usize, column: usize, y: usize, dx: usize): void {
    if (planes * rows * columns == 0) return;
    const one = i32x4.splat(1);
    let best = f32x4.splat(-Infinity);
    let place = i32x4.splat(0);
    let tap = i32x4.splat(0);
    for (let i = 0; i < planes; i++) {
      let line = x + (i as usize) * plane;
      for (let j = 0; j < rows; j++, line += row) {
        let at = line;
        for (let k = 0; k < columns; k++, at += column) {
          const value = loadLanes(at, width);
          const isBetter = f32x4.gt(value, best);
          best = v128.bitselect(value, best, isBetter);
          place = v128.bitselect(tap, place, isBetter);
          tap = i32x4.add(tap, one);
        }
      }
    }
    const slope = loadLanes(y, width);
    tap = i32x4.splat(0);
    for (let i = 0; i < planes; i++) {
      let line = dx + (i as usize) * plane;
      for (let j = 0; j < rows; j++, line += row) {
        let at = line;
        for (let k = 0; k < columns; k++, at += column) {
          const part = v128.and(slope, i32x4.eq(tap, place));
          storeLanes(at, f32x4.add(loadLanes(at, width), part), width);
          tap = i32x4.add(tap, one);
        }
      }
    }
  }
}

class Mean extends Window {
  @inline
  isWide(): bool {
    return true;
  }

  @inline
  visit(width: i32, planes: i32, rows: i32, columns: i32, x: usize, plane: usize, row: usize, column: usize, y: usize, dx: usize): void {
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let i = 0; i < planes; i++) {
      let line = x + (i as usize) * plane;
      for (let j = 0; j < rows; j++, line += row) {
        let at = line;
        for (let k = 0; k < columns; k++, at += column) {
          s0 = f32x4.add(s0, loadLanes(at, width));
          if (width == 16) {
            s1 = f32x4.add(s1, v128.load(at, 16));
            s2 = f32x4.add(s2, v128.load(at, 32));
            s3 = f32x4.add(s3, v128.load(at, 48));
          }
        }
      }
    }
    const count = f32x4.splat(max(planes * rows * columns, 1) as f32);
    storeLanes(y, f32x4.div(s0, count), width);
    if (width == 16) {
      v128.store(y, f32x4.div(s1, count), 16);
      v128.store(y, f32x4.div(s2, count), 32);
      v128.store(y, f32x4.div(s3, count), 48);
    }
  }
}

class SumSlope extends Window {
  @inline
  isWide(): bool {
    return false;
  }

  @inline
  visit(width: i32, planes: i32, rows: i32, columns: i32, x: usize, plane: usize, row: usize, column: usize, y: usize, dx: usize): void {
    const part = loadLanes(y, width);
    for (let i = 0; i < planes; i++) {
      let line = dx + (i as usize) * plane;
      for (let j = 0; j < rows; j++, line += row) {
        let at = line;
        for (let k = 0; k < columns; k++, at += column) storeLanes(at, f32x4.add(loadLanes(at, width), part), width);
      }
    }
  }
}

/** y = the largest of each window; NaN never is, and of none it is -Infinity. */
export function f32_max_pool(batch: i32, list: usize, x: usize, y: usize): void {
  everyWindow<Max>(batch, list, x, y, 0);
}

/** dx += dy at the first of the largest of each window; at its first input if there is none. */
export function f32_max_pool_grad(batch: i32, list: usize, x: usize, dy: usize, dx: usize): void {
  everyWindow<MaxSlope>(batch, list, x, dy, dx);
}

/** y = the mean of each window's inputs inside of the image; 0 of none. */
export function f32_mean_pool(batch: i32, list: usize, x: usize, y: usize): void {
  everyWindow<Mean>(batch, list, x, y, 0);
}

/** dx += dy at each input of a window inside of the image. */
export function f32_sum_pool_grad(batch: i32, list: usize, dy: usize, dx: usize): void {
  everyWindow<SumSlope>(batch, list, 0, dy, dx);
}
