/**
 * Rows by index: gathering them, and adding those with the same index (the gradient of gathering).
 *
 * Needs:  sizes >= 1; any alignment; source and target apart; nothing past the arrays is touched.
 * Sums:   the rows of a segment in rising order, 16 at a time, and those sums in a binary tree that
 *         depends on their count alone: |error| <= (15 + log2(n / 16)) 2^-24 sum |x|.
 */
import { copyRun, loadLanes, storePart } from "./lanes";

/**
 * At every index of `batch` and `outer`, with indices of its own for each batch,
 *
 *     y[b, o, i] = x[b, o, indices[b, i]]   rows of `bytes` bytes, `limit` of them in x, `count` in y
 *
 * Returns the position of the first index that is not in 0 .. limit - 1, or -1.
 */
export function gather_rows(
  batch: i32,
  outer: i32,
  limit: i32,
  count: i32,
  bytes: usize,
  x: usize,
  indices: usize,
  y: usize,
): i32 {
  const all = batch * count;
  for (let i = 0; i < all; i++) {
    if (load<u32>(indices + ((i as usize) << 2)) >= (limit as u32)) return i;
  }
  for (let b = 0; b < batch; b++) {
    for (let o = 0; o < outer; o++) {
      if (bytes == 4) {
        for (let i = 0; i < count; i++) {
          const at = load<u32>(indices + ((i as usize) << 2)) as usize;
          store<u32>(y, load<u32>(x + (at << 2)));
          y += 4;
        }
      } else {
        for (let i = 0; i < count; i++) {
          const at = load<u32>(indices + ((i as usize) << 2)) as usize;
          copyRun(bytes, x + at * bytes, y);
          y += bytes;
        }
      }
      x += (limit as usize) * bytes;
    }
    indices += (count as usize) << 2;
  }
  return -1;
}

/** Bytes of scratch memory that f32_segment_sum needs. */
export function f32_segment_sum_scratch(rows: i32, segments: i32): i32 {
  return (rows + segments + 1) * 4 + STACK;
}

/** Room for the partial sums of one block of 16 columns: 64 bytes a level. */
const STACK: i32 = 2048;

/**
 * y[s] = sum of the rows x[i], of `columns` floats, with ids[i] = s; ids outside of 0 .. segments - 1
 * are ignored. `scratch` as f32_segment_sum_scratch says.
 */
export function f32_segment_sum(
  rows: i32,
  columns: i32,
  segments: i32,
  x: usize,
  ids: usize,
  y: usize,
  scratch: usize,
): void {
  const starts = scratch + (STACK as usize);
  const order = starts + (((segments + 1) as usize) << 2);
  sortBySegment(rows, segments, ids, starts, order);
  const step = (columns as usize) << 2;
  let from = order;
  for (let s = 0; s < segments; s++) {
    const end = order + ((load<u32>(starts + ((s as usize) << 2)) as usize) << 2);
    const n = ((end - from) >> 2) as i32;
    if (n == 0) memory.fill(y, 0, step);
    else if (n == 1) copyRun(step, x + (load<u32>(from) as usize) * step, y);
    else sumSegment(n, columns, from, x, step, y, scratch);
    from = end;
    y += step;
  }
}

/** order = the rows by rising segment, each segment's in rising order; starts[s] = where s ends. */
function sortBySegment(rows: i32, segments: i32, ids: usize, starts: usize, order: usize): void {
  memory.fill(starts, 0, ((segments + 1) as usize) << 2);
  for (let i = 0; i < rows; i++) {
    const s = load<u32>(ids + ((i as usize) << 2));
    if (s >= (segments as u32)) continue;
    const at = starts + (((s + 1) as usize) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  for (let s = 0; s < segments; s++) {
    const at = starts + ((s as usize) << 2);
    store<u32>(at, load<u32>(at) + load<u32>(at, 4), 4);
  }
  for (let i = 0; i < rows; i++) {
    const s = load<u32>(ids + ((i as usize) << 2));
    if (s >= (segments as u32)) continue;
    const at = starts + ((s as usize) << 2);
    const place = load<u32>(at);
    store<u32>(order + ((place as usize) << 2), i);
    store<u32>(at, place + 1);
  }
}

function sumSegment(
  n: i32,
  columns: i32,
  list: usize,
  x: usize,
  step: usize,
  y: usize,
  stack: usize,
): void {
  let j = 0;
  for (; j + 16 <= columns; j += 16) {
    sumSixteen(n, list, x, step, stack);
    v128.store(y, v128.load(stack));
    v128.store(y, v128.load(stack, 16), 16);
    v128.store(y, v128.load(stack, 32), 32);
    v128.store(y, v128.load(stack, 48), 48);
    x += 64;
    y += 64;
  }
  for (; j + 4 <= columns; j += 4) {
    v128.store(y, sumLanes(n, 4, list, x, step));
    x += 16;
    y += 16;
  }
  if (j < columns) storePart(y, sumLanes(n, columns - j, list, x, step), columns - j);
}

/** How many of n > 16 rows the left branch of the tree takes. */
@inline
function leftOf(n: i32): i32 {
  let left = 16;
  while (left * 2 < n) left *= 2;
  return left;
}

/** The sum of 16 columns of n rows, at `to`; what follows there is overwritten. */
function sumSixteen(n: i32, list: usize, x: usize, step: usize, to: usize): void {
  if (n > 16) {
    const left = leftOf(n);
    sumSixteen(left, list, x, step, to);
    sumSixteen(n - left, list + ((left as usize) << 2), x, step, to + 64);
    for (let end = to + 64; to < end; to += 16) {
      v128.store(to, f32x4.add(v128.load(to), v128.load(to, 64)));
    }
    return;
  }
  let p = x + (load<u32>(list) as usize) * step;
  let s0 = v128.load(p), s1 = v128.load(p, 16), s2 = v128.load(p, 32), s3 = v128.load(p, 48);
  for (let i = 1; i < n; i++) {
    list += 4;
    p = x + (load<u32>(list) as usize) * step;
    s0 = f32x4.add(s0, v128.load(p));
    s1 = f32x4.add(s1, v128.load(p, 16));
    s2 = f32x4.add(s2, v128.load(p, 32));
    s3 = f32x4.add(s3, v128.load(p, 48));
  }
  v128.store(to, s0);
  v128.store(to, s1, 16);
  v128.store(to, s2, 32);
  v128.store(to, s3, 48);
}

/** The sum of 1 to 4 columns of n rows. */
function sumLanes(n: i32, lanes: i32, list: usize, x: usize, step: usize): v128 {
  if (n > 16) {
    const left = leftOf(n);
    return f32x4.add(
      sumLanes(left, lanes, list, x, step),
      sumLanes(n - left, lanes, list + ((left as usize) << 2), x, step),
    );
  }
  let s = loadLanes(x + (load<u32>(list) as usize) * step, lanes);
  for (let i = 1; i < n; i++) {
    list += 4;
    s = f32x4.add(s, loadLanes(x + (load<u32>(list) as usize) * step, lanes));
  }
  return s;
}

/** The same sums of 32-bit integers, modulo 2^32. */
export function i32_segment_sum(
  rows: i32,
  columns: i32,
  segments: i32,
  x: usize,
  ids: usize,
  y: usize,
): void {
  const step = (columns as usize) << 2;
  memory.fill(y, 0, (segments as usize) * step);
  for (let i = 0; i < rows; i++) {
    const s = load<u32>(ids + ((i as usize) << 2));
    if (s < (segments as u32)) {
      const to = y + (s as usize) * step;
      for (let at: usize = 0; at < step; at += 4) {
        store<u32>(to + at, load<u32>(to + at) + load<u32>(x + at));
      }
    }
    x += step;
  }
}
