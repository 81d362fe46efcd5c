/**
 * Convolutions and the gradients of their filters, on operands that are read where they lie: no patch
 * of an image is copied.
 *
 *     C[line, j] = f(sum over steps of A[line + offset[step]] * B[step, j] + bias[j])
 *
 * A line has two addresses: where its elements of A are counted from, and its row of C. A step has
 * one offset for all lines. In a convolution lines are positions and steps are the filter's, in the
 * filter's gradient it is the other way round (patches.ts has both). Positions at an edge use
 * fewer steps: those that use the same ones are computed together, and what is around the image is
 * not multiplied. Blocks and order are those of gemm.ts, so the bits are those of the product with
 * the matrix of the patches.
 */
import { floats } from "./address";
import { f32_epilogue } from "./epilogue";
import { addRows, BLOCK, COLUMNS, packed } from "./gemm";
import { loadLanes, loadPart, storePart } from "./lanes";
import { addTo } from "./lanes_sum";
import { madd } from "./madd";
import { f32_pack } from "./pack";
import { Patches } from "./patches";

/** Lines of a block: a multiple of the lines of every tile. */
const LINES: i32 = 240;
/** Up to so many lines, whole rows of B are read where they lie. */
const FEW_LINES: i32 = 120;
/** Columns of a tile. */
const WIDTH: i32 = 8;

/** In the table of lines: an address of A, one of C; at its end lines that fill up the last tile. */
const LINE: i32 = 8;
/** In the table of runs, steps of the block that follow one another: the first one, the end. */
const RANGE: i32 = 8;

// Places in scratch memory, which f32_gemm_scratch() has room for.
const OFFSETS: i32 = (LINES + 6) * LINE;
const RANGES: i32 = OFFSETS + (BLOCK << 2);
/** A row for the results of lines that fill up a tile. */
const SPARE: i32 = RANGES + BLOCK * RANGE;
const PANELS: i32 = SPARE + (COLUMNS << 2);

/**
 * Y[position, j] = f(sum over steps of P[position, step] * W[step, j] + bias[j]): a convolution of m
 * positions, k steps and n output channels. P is described by `list`, see patches.ts.
 *
 * Needs:  m, n, k >= 1; `scratch` of f32_gemm_scratch() bytes; Y apart from the rest. Column strides
 *         of bias and alpha are 0 or 1. `tile` as f32_gemm, for the lines at a time: 4 with 408, 6 with
 *         608, else 5.
 * Error:  as f32_gemm.
 */
export function f32_conv(
  tile: i32,
  m: i32,
  n: i32,
  k: i32,
  image: usize,
  list: Patches,
  w: usize,
  y: usize,
  scratch: usize,
  bias: usize,
  biasColumn: usize,
  f: i32,
  alpha: usize,
  alphaColumn: usize,
): void {
  const outD = list.outD, outH = list.outH, outW = list.outW, inD = list.inD, inH = list.inH;
  const row = list.row, run = list.run, tapsH = list.tapsH, tapsW = list.tapsW;
  const tapsD = k / (tapsH * tapsW * run);
  const strideW = list.strideW, padW = list.padW;
  // The floats of a run of neighbours are inside or outside one by one: each is a tap.
  const isRow = tapsW == 1;
  const dilationW = isRow ? 1 : list.dilationW;
  const acrossW = isRow ? run : tapsW;
  const batch = m / (outD * outH * outW);
  const cStep = floats(n);
  for (let j = 0; j < n; j += COLUMNS) {
    const columns = min(COLUMNS, n - j);
    const biasAt = bias ? bias + floats(j) * biasColumn : 0;
    const alphaAt = alpha + floats(j) * alphaColumn;
    for (let p = 0; p < k; p += BLOCK) {
      const steps = min(BLOCK, k - p);
      const isLast = p + steps == k;
      f32_pack(scratch + PANELS, w + floats(p * n + j), 1, n, columns, steps, WIDTH);
      for (let d = 0, endD = 0; d < outD; d = endD) {
        endD = endOfAlike(d, outD, list.strideD, list.padD, list.dilationD, tapsD, inD);
        const kd = firstTap(d, list.strideD, list.padD, list.dilationD);
        const endKd = endTap(d, list.strideD, list.padD, list.dilationD, tapsD, inD);
        for (let h = 0, endH = 0; h < outH; h = endH) {
          endH = endOfAlike(h, outH, list.strideH, list.padH, list.dilationH, tapsH, inH);
          const kh = firstTap(h, list.strideH, list.padH, list.dilationH);
          const endKh = endTap(h, list.strideH, list.padH, list.dilationH, tapsH, inH);
          for (let x = 0, endX = 0; x < outW; x = endX) {
            endX = endOfAlike(x, outW, strideW, padW, dilationW, acrossW, row);
            const kw = firstTap(x, strideW, padW, dilationW);
            const endKw = endTap(x, strideW, padW, dilationW, acrossW, row);
            let ranges = scratch + RANGES;
            for (let i = kd; i < endKd; i++) {
              for (let l = kh; l < endKh; l++) {
                const at = (i * list.dilationD * inH + l * list.dilationH) * row;
                const first = (i * tapsH + l) * tapsW * run;
                if (isRow) {
                  ranges = addSteps(scratch, ranges, first + kw, first + endKw, p, steps, at - first);
                } else {
                  for (let q = kw; q < endKw; q++) {
                    const from = first + q * run;
                    ranges = addSteps(scratch, ranges, from, from + run, p, steps, at + q * dilationW - from);
                  }
                }
              }
            }
            // A block without steps adds nothing.
            if (p > 0 && !isLast && ranges == scratch + RANGES) continue;
            let count = 0;
            for (let i = 0; i < batch; i++) {
              for (let z = d; z < endD; z++) {
                const plane = (i * inD + z * list.strideD - list.padD) * inH - list.padH;
                for (let v = h; v < endH; v++) {
                  const corner = (plane + v * list.strideH) * row;
                  let from = x;
                  while (from < endX) {
                    const part = min(endX - from, LINES - count);
                    const a = image + floats(corner + from * strideW - padW);
                    const at = ((i * outD + z) * outH + v) * outW + from;
                    const c = y + (at as usize) * cStep + floats(j);
                    addLines(scratch + count * LINE, part, a, floats(strideW), c, cStep);
                    count += part;
                    from += part;
                    if (count < LINES) continue;
                    times(tile, scratch, LINES, ranges, scratch + PANELS, floats(WIDTH), steps, columns, cStep, p > 0);
                    if (isLast) finish(scratch, LINES, columns, cStep, biasAt, biasColumn, f, alphaAt, alphaColumn);
                    count = 0;
                  }
                }
              }
            }
            if (count == 0) continue;
            times(tile, scratch, count, ranges, scratch + PANELS, floats(WIDTH), steps, columns, cStep, p > 0);
            if (isLast) finish(scratch, count, columns, cStep, biasAt, biasColumn, f, alphaAt, alphaColumn);
          }
        }
      }
    }
  }
}

/** The first tap of output `o` that is inside. */
@inline
function firstTap(o: i32, stride: i32, pad: i32, dilation: i32): i32 {
  const start = o * stride - pad;
  return start >= 0 ? 0 : (dilation - 1 - start) / dilation;
}

/** The tap after the last one that is inside. */
@inline
function endTap(o: i32, stride: i32, pad: i32, dilation: i32, taps: i32, size: i32): i32 {
  const last = size - 1 - (o * stride - pad);
  return last < 0 ? 0 : min(taps, last / dilation + 1);
}

/** The end of the outputs from `o` on that have the same taps inside. */
function endOfAlike(o: i32, out: i32, stride: i32, pad: i32, dilation: i32, taps: i32, size: i32): i32 {
  const first = firstTap(o, stride, pad, dilation);
  const end = endTap(o, stride, pad, dilation, taps, size);
  do {
    o++;
  } while (
    o < out && firstTap(o, stride, pad, dilation) == first &&
    endTap(o, stride, pad, dilation, taps, size) == end
  );
  return o;
}

/** Adds the steps from `first` to `end`, as far as they are in the block; offset = step + `shift`. */
function addSteps(
  scratch: usize,
  ranges: usize,
  first: i32,
  end: i32,
  p: i32,
  steps: i32,
  shift: i32,
): usize {
  const low = max(first - p, 0), high = min(end - p, steps);
  if (low >= high) return ranges;
  for (let s = low; s < high; s++) {
    store<usize>(scratch + OFFSETS + floats(s), floats(s + p + shift));
  }
  if (ranges == scratch + RANGES || load<i32>(ranges - 4) != low) {
    store<i32>(ranges, low);
    ranges += RANGE;
  }
  store<i32>(ranges - 4, high);
  return ranges;
}

/** Adds `count` lines, whose places in A and in C have these distances; may write one line more. */
@inline
function addLines(at: usize, count: i32, a: usize, aStep: usize, c: usize, cStep: usize): void {
  let two = both(a, c);
  two = v128.shuffle<u32>(two, both(a + aStep, c + cStep), 0, 1, 4, 5);
  const step = both(aStep << 1, cStep << 1);
  for (const end = at + count * LINE; at < end; at += 2 * LINE) {
    v128.store(at, two);
    two = i32x4.add(two, step);
  }
}

/** x and y in the even and the odd lanes. */
@inline
function both(x: usize, y: usize): v128 {
  const even = v128.splat<usize>(x);
  return v128.shuffle<u32>(even, v128.splat<usize>(y), 0, 4, 2, 6);
}

/** Bias and activation of the lines, those that follow one another in C together. */
function finish(
  lines: usize,
  count: i32,
  columns: i32,
  cStep: usize,
  bias: usize,
  biasColumn: usize,
  f: i32,
  alpha: usize,
  alphaColumn: usize,
): void {
  if (bias == 0 && f == 0) return;
  const end = lines + count * LINE;
  while (lines < end) {
    const c = load<usize>(lines, 4);
    let rows = 0;
    do {
      rows++;
      lines += LINE;
    } while (lines < end && load<usize>(lines, 4) == c + (rows as usize) * cStep);
    f32_epilogue(rows, columns, c, cStep, bias, 0, biasColumn, f, alpha, 0, alphaColumn);
  }
}

/**
 * dW[step, j] = sum over positions of P[position, step] * dY[position, j]: the gradient of the filter
 * of m steps and n output channels, over k positions. If P has something from around the image, its
 * blocks are packed, see packed() of gemm.ts; it is left out of sums that are not finite.
 *
 * Needs and error as f32_conv, where the sum has k terms.
 */
export function f32_conv_filter(
  tile: i32,
  m: i32,
  n: i32,
  k: i32,
  image: usize,
  list: Patches,
  dy: usize,
  dw: usize,
  scratch: usize,
): void {
  const outH = list.outH, outW = list.outW, inH = list.inH, row = list.row;
  const run = list.run, tapsH = list.tapsH, tapsW = list.tapsW, strideW = list.strideW;
  const tapsD = m / (tapsH * tapsW * run);
  const isInside = (list.padD | list.padH | list.padW) == 0 &&
    (list.outD - 1) * list.strideD + (tapsD - 1) * list.dilationD < list.inD &&
    (outH - 1) * list.strideH + (tapsH - 1) * list.dilationH < inH &&
    (outW - 1) * strideW + (tapsW - 1) * list.dilationW + run <= row;
  if (!isInside) {
    packed(tile, m, n, k, image, 0, 0, changetype<usize>(list), dy, n, 1, dw, scratch, 0, 0, 0, 0, 0, 0, 0);
    // The zeros around the image make NaN of what is infinite in dY.
    if (!areFinite(m * n, dw)) timesInside(m, n, k, image, list, dy, dw, scratch);
    return;
  }
  const cStep = floats(n);
  const range = scratch + RANGES;
  store<i32>(range, 0);
  for (let j = 0; j < n; j += COLUMNS) {
    const columns = min(COLUMNS, n - j);
    // Rows of dY that few lines use are read where they lie.
    const inPlace = m <= FEW_LINES && columns % WIDTH == 0;
    for (let p = 0; p < k; p += BLOCK) {
      const steps = min(BLOCK, k - p);
      store<i32>(range, steps, 4);
      for (let s = 0; s < steps;) {
        const x = (p + s) % outW, rest = (p + s) / outW;
        const h = rest % outH, plane = rest / outH;
        const d = plane / list.outD * list.inD + plane % list.outD * list.strideD;
        let offset = floats((d * inH + h * list.strideH) * row + x * strideW);
        for (const end = min(steps, s + outW - x); s < end; s++) {
          store<usize>(scratch + OFFSETS + floats(s), offset);
          offset += floats(strideW);
        }
      }
      let b = dy + floats(p * n + j);
      if (!inPlace) {
        f32_pack(scratch + PANELS, b, 1, n, columns, steps, WIDTH);
        b = scratch + PANELS;
      }
      for (let i = 0; i < m; i += LINES) {
        const count = min(LINES, m - i);
        for (let l = i; l < i + count;) {
          const tap = l / run, kd = tap / tapsW / tapsH, kh = tap / tapsW % tapsH;
          const part = min(i + count, (tap + 1) * run) - l;
          const from = (kd * list.dilationD * inH + kh * list.dilationH) * row + tap % tapsW * list.dilationW;
          const a = image + floats(from + l - tap * run);
          addLines(scratch + (l - i) * LINE, part, a, 4, dw + (l as usize) * cStep + floats(j), cStep);
          l += part;
        }
        const panelSteps = inPlace ? 1 : steps;
        times(tile, scratch, count, range + RANGE, b, inPlace ? cStep : floats(WIDTH), panelSteps, columns, cStep, p > 0);
      }
    }
  }
}

function areFinite(n: i32, x: usize): bool {
  const zero = f32x4.splat(0);
  let s = zero;
  for (let i = 0; i < n; i += 4) s = f32x4.add(s, f32x4.mul(loadLanes(x + floats(i), n - i), zero));
  return i32x4.all_true(f32x4.eq(s, s));
}

/** The same sums, one position after the other, without what is around the image. */
function timesInside(
  m: i32,
  n: i32,
  k: i32,
  image: usize,
  list: Patches,
  dy: usize,
  dw: usize,
  scratch: usize,
): void {
  const outD = list.outD, outH = list.outH, outW = list.outW, inD = list.inD, inH = list.inH;
  for (let l = 0; l < m; l++) {
    const tap = l / list.run, rest = tap / list.tapsW;
    const kd = rest / list.tapsH, kh = rest % list.tapsH, kw = tap % list.tapsW;
    for (let j = 0; j < n; j += COLUMNS) {
      const columns = min(COLUMNS, n - j);
      const to = dw + floats(l * n + j);
      for (let p = 0; p < k; p += BLOCK) {
        const sums = p == 0 ? to : scratch;
        memory.fill(sums, 0, floats(columns));
        for (let q = p; q < min(p + BLOCK, k); q++) {
          const line = q / outW, plane = line / outH;
          const d = plane % outD * list.strideD - list.padD + kd * list.dilationD;
          const h = line % outH * list.strideH - list.padH + kh * list.dilationH;
          const x = q % outW * list.strideW - list.padW + kw * list.dilationW + l % list.run;
          if ((d as u32) >= (inD as u32) || (h as u32) >= (inH as u32) || (x as u32) >= (list.row as u32)) continue;
          const a = image + floats(((plane / outD * inD + d) * inH + h) * list.row + x);
          addRows(1, columns, a, 0, dy + floats(q * n + j), 0, sums);
        }
        if (p > 0) addTo(columns, scratch, to);
      }
    }
  }
}

/** The lines times B, whose panels of rows `bStep` bytes apart have `steps` rows in memory. */
function times(
  tile: i32,
  lines: usize,
  count: i32,
  ranges: usize,
  b: usize,
  bStep: usize,
  steps: i32,
  columns: i32,
  cStep: usize,
  add: bool,
): void {
  const end = lines + count * LINE;
  addLines(end, 6, load<usize>(lines), 0, lines + SPARE, 0);
  for (let j = 0; j < columns; j += WIDTH) {
    const inside = min(WIDTH, columns - j);
    const across = floats(j);
    if (bStep != floats(WIDTH)) {
      if (tile == 408) placed4(end, lines, ranges, b, bStep, across, inside, cStep, add);
      else placed5(end, lines, ranges, b, bStep, across, inside, cStep, add);
    } else if (tile == 408) {
      packed4(end, lines, ranges, b, across, inside, cStep, add);
    } else if (tile == 608) {
      packed6(end, lines, ranges, b, across, inside, cStep, add);
    } else {
      packed5(end, lines, ranges, b, across, inside, cStep, add);
    }
    b += floats(WIDTH * steps);
  }
}

// Tiles of 4 to 6 lines and 8 columns, from the lines at `scratch` to `end`. Each size is a function of
// its own, which has the registers for itself; so is a constant distance of the rows of B.

function packed4(
  end: usize,
  scratch: usize,
  ranges: usize,
  b: usize,
  across: usize,
  inside: i32,
  cStep: usize,
  add: bool,
): void {
  tiles(4, end, scratch, ranges, b, floats(WIDTH), across, inside, cStep, add);
}

function packed5(
  end: usize,
  scratch: usize,
  ranges: usize,
  b: usize,
  across: usize,
  inside: i32,
  cStep: usize,
  add: bool,
): void {
  tiles(5, end, scratch, ranges, b, floats(WIDTH), across, inside, cStep, add);
}

function packed6(
  end: usize,
  scratch: usize,
  ranges: usize,
  b: usize,
  across: usize,
  inside: i32,
  cStep: usize,
  add: bool,
): void {
  tiles(6, end, scratch, ranges, b, floats(WIDTH), across, inside, cStep, add);
}

function placed4(
  end: usize,
  scratch: usize,
  ranges: usize,
  b: usize,
  bStep: usize,
  across: usize,
  inside: i32,
  cStep: usize,
  add: bool,
): void {
  tiles(4, end, scratch, ranges, b, bStep, across, inside, cStep, add);
}

function placed5(
  end: usize,
  scratch: usize,
  ranges: usize,
  b: usize,
  bStep: usize,
  across: usize,
  inside: i32,
  cStep: usize,
  add: bool,
): void {
  tiles(5, end, scratch, ranges, b, bStep, across, inside, cStep, add);
}

@inline
function tiles(
  rows: i32,
  end: usize,
  scratch: usize,
  ranges: usize,
  b: usize,
  bStep: usize,
  across: usize,
  inside: i32,
  cStep: usize,
  add: bool,
): void {
  for (let lines = scratch; lines < end; lines += rows * LINE) {
    tile(rows, lines, scratch, ranges, b, bStep, across, inside, cStep, add);
  }
}

/** `rows` (4 to 6, a constant) lines times a panel, from float `across` on; `inside` of 8 are stored. */
@inline
function tile(
  rows: i32,
  lines: usize,
  scratch: usize,
  ranges: usize,
  panel: usize,
  bStep: usize,
  across: usize,
  inside: i32,
  cStep: usize,
  add: bool,
): void {
  const zero = f32x4.splat(0);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero;
  let t0 = zero, t1 = zero, t2 = zero, t3 = zero, t4 = zero, t5 = zero;
  const a0 = load<usize>(lines);
  const a1 = load<usize>(lines, LINE);
  const a2 = load<usize>(lines, 2 * LINE);
  const a3 = load<usize>(lines, 3 * LINE);
  const a4 = rows > 4 ? load<usize>(lines, 4 * LINE) : a0;
  const a5 = rows > 5 ? load<usize>(lines, 5 * LINE) : a0;
  for (let range = scratch + RANGES; range < ranges; range += RANGE) {
    let offset = scratch + OFFSETS + floats(load<i32>(range));
    const end = scratch + OFFSETS + floats(load<i32>(range, 4));
    let b = panel + (load<i32>(range) as usize) * bStep;
    do {
      const from = load<usize>(offset);
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      let x = v128.load_splat<f32>(a0 + from);
      s0 = madd(x, b0, s0);
      t0 = madd(x, b1, t0);
      x = v128.load_splat<f32>(a1 + from);
      s1 = madd(x, b0, s1);
      t1 = madd(x, b1, t1);
      x = v128.load_splat<f32>(a2 + from);
      s2 = madd(x, b0, s2);
      t2 = madd(x, b1, t2);
      x = v128.load_splat<f32>(a3 + from);
      s3 = madd(x, b0, s3);
      t3 = madd(x, b1, t3);
      if (rows > 4) {
        x = v128.load_splat<f32>(a4 + from);
        s4 = madd(x, b0, s4);
        t4 = madd(x, b1, t4);
      }
      if (rows > 5) {
        x = v128.load_splat<f32>(a5 + from);
        s5 = madd(x, b0, s5);
        t5 = madd(x, b1, t5);
      }
      offset += 4;
      b += bStep;
    } while (offset < end);
  }
  const c = load<usize>(lines, 4);
  const others: usize = rows - 1;
  if (inside == WIDTH && !add && load<usize>(lines + others * LINE, 4) == c + others * cStep) {
    let to = c + across;
    put(to, s0, t0);
    put(to += cStep, s1, t1);
    put(to += cStep, s2, t2);
    put(to += cStep, s3, t3);
    if (rows > 4) put(to += cStep, s4, t4);
    if (rows > 5) put(to += cStep, s5, t5);
  } else {
    addPart(c + across, s0, t0, inside, add);
    addPart(load<usize>(lines, LINE + 4) + across, s1, t1, inside, add);
    addPart(load<usize>(lines, 2 * LINE + 4) + across, s2, t2, inside, add);
    addPart(load<usize>(lines, 3 * LINE + 4) + across, s3, t3, inside, add);
    if (rows > 4) {
      addPart(load<usize>(lines, 4 * LINE + 4) + across, s4, t4, inside, add);
    }
    if (rows > 5) {
      addPart(load<usize>(lines, 5 * LINE + 4) + across, s5, t5, inside, add);
    }
  }
}

@inline
function put(c: usize, x: v128, y: v128): void {
  v128.store(c, x);
  v128.store(c, y, 16);
}

function addPart(c: usize, x: v128, y: v128, inside: i32, add: bool): void {
  if (inside >= 4) {
    v128.store(c, add ? f32x4.add(v128.load(c), x) : x);
    x = y;
    c += 16;
    inside -= 4;
  }
  if (inside == 4) v128.store(c, add ? f32x4.add(v128.load(c), x) : x);
  else if (inside > 0) storePart(c, add ? f32x4.add(loadPart(c, inside), x) : x, inside);
}
