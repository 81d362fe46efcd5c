/**
 * Reductions of f32 arrays along rows and columns.
 *
 * Needs:  sizes >= 1; any alignment; nothing past the arrays is touched.
 * Sums:   pairwise. A row is cut into runs of 256, the runs are added in a binary tree; columns add
 *         eight rows at a time in a tree, and those sums in a tree. Both trees depend on the length
 *         alone. |error| <= (20 + log2(n / 256)) 2^-24 sum |x| for rows, (3 + log2 n) for columns.
 */
import { floats } from "./address";
import { Fold, foldColumns, foldRows } from "./fold";
import { loadLanes, loadPart, storeLanes } from "./lanes";
import { foldLanes } from "./lanes_sum";

const RUN: i32 = 256;
const CHUNK: i32 = 1024;
const LEVELS: i32 = 32;

/** Bytes of scratch memory that f32_sum_columns needs. */
export function f32_sum_columns_scratch(): i32 {
  return LEVELS * CHUNK * 4;
}

/** The sum of n floats; n <= RUN. */
function sumRun(n: i32, x: usize): f32 {
  const zero = f32x4.splat(0);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  let i = 0;
  for (; i + 16 <= n; i += 16) {
    s0 = f32x4.add(s0, v128.load(x));
    s1 = f32x4.add(s1, v128.load(x, 16));
    s2 = f32x4.add(s2, v128.load(x, 32));
    s3 = f32x4.add(s3, v128.load(x, 48));
    x += 64;
  }
  for (; i + 4 <= n; i += 4) {
    s0 = f32x4.add(s0, v128.load(x));
    x += 16;
  }
  if (i < n) s1 = f32x4.add(s1, loadPart(x, n - i));
  return foldLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
}

/** The sum of n floats. */
export function f32_sum(n: i32, x: usize): f32 {
  if (n <= RUN) return sumRun(n, x);
  let left = RUN;
  while (left * 2 < n) left *= 2;
  return f32_sum(left, x) + f32_sum(n - left, x + floats(left));
}

/** y[i] = sum over j of x[i, j], divided by `divisor`. */
export function f32_sum_rows(rows: i32, columns: i32, x: usize, y: usize, divisor: f32): void {
  for (let i = 0; i < rows; i++) {
    store<f32>(y, f32_sum(columns, x) / divisor);
    x += floats(columns);
    y += 4;
  }
}

/** y[o, j] = sum over i of x[o, i, j], divided by `divisor`. */
export function f32_sum_columns(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
  divisor: f32,
  scratch: usize,
): void {
  const step = floats(columns);
  for (let o = 0; o < outer; o++) {
    for (let j = 0; j < columns; j += CHUNK) {
      const n = min(CHUNK, columns - j);
      sumChunk(rows, n, x + floats(j), step, y + floats(j), divisor, scratch);
    }
    x += (rows as usize) * step;
    y += step;
  }
}

/**
 * Sums of eight rows go on a stack; two sums of equally many rows, which is told by the count of
 * leaves like the carries of a binary counter, are added as soon as they meet.
 */
function sumChunk(
  rows: i32,
  n: i32,
  x: usize,
  step: usize,
  y: usize,
  divisor: f32,
  scratch: usize,
): void {
  const size = floats(n);
  let top = scratch;
  let leaves = 0;
  let i = 0;
  for (; i < rows; i += 8) {
    addLeaf(min(8, rows - i), n, x, step, top);
    x += step << 3;
    top += size;
    leaves++;
    for (let carry = leaves; (carry & 1) == 0; carry >>= 1) top = merge(n, top, size);
  }
  while (top > scratch + size) top = merge(n, top, size);
  const by = f32x4.splat(divisor);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    v128.store(y + floats(j), f32x4.div(v128.load(scratch + floats(j)), by));
  }
  for (; j < n; j++) store<f32>(y + floats(j), load<f32>(scratch + floats(j)) / divisor);
}

/** Adds the sum on top of the stack to the one below; returns the new top. */
function merge(n: i32, top: usize, size: usize): usize {
  const right = top - size;
  const left = right - size;
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const at = left + floats(j);
    v128.store(at, f32x4.add(v128.load(at), v128.load(right + floats(j))));
  }
  for (; j < n; j++) {
    store<f32>(left + floats(j), load<f32>(left + floats(j)) + load<f32>(right + floats(j)));
  }
  return right;
}

/** y[j] = the sum of `rows` (1 to 8) rows of n floats. */
function addLeaf(rows: i32, n: i32, x: usize, step: usize, y: usize): void {
  for (let j = 0; j < n; j += 4) {
    const lanes = min(4, n - j);
    const s = lanes == 4 ? leaf(rows, x, step, 4) : leaf(rows, x, step, lanes);
    storeLanes(y, s, lanes);
    x += 16;
    y += 16;
  }
}

@inline
function leaf(rows: i32, x: usize, step: usize, lanes: i32): v128 {
  if (rows == 8) {
    const high = x + 4 * step;
    const a = f32x4.add(loadLanes(x, lanes), loadLanes(x + step, lanes));
    const b = f32x4.add(loadLanes(x + 2 * step, lanes), loadLanes(x + 3 * step, lanes));
    const c = f32x4.add(loadLanes(high, lanes), loadLanes(high + step, lanes));
    const d = f32x4.add(loadLanes(high + 2 * step, lanes), loadLanes(high + 3 * step, lanes));
    return f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
  }
  let s = loadLanes(x, lanes);
  for (let i = 1; i < rows; i++) {
    x += step;
    s = f32x4.add(s, loadLanes(x, lanes));
  }
  return s;
}

class Max extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return v128.bitselect(b, a, v128.or(f32x4.lt(a, b), f32x4.ne(b, b)));
  }
  @inline
  start(): v128 {
    return f32x4.splat(-Infinity);
  }
}

/** y[i] over j of x[i, j]; NaN wins. */
export function f32_max_rows(rows: i32, columns: i32, x: usize, y: usize): void {
  foldRows<Max>(rows, columns, x, y);
}

/** y[o, j] over i of x[o, i, j]; NaN wins. */
export function f32_max_columns(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  foldColumns<Max>(outer, rows, columns, x, y);
}

class Min extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return v128.bitselect(b, a, v128.or(f32x4.gt(a, b), f32x4.ne(b, b)));
  }
  @inline
  start(): v128 {
    return f32x4.splat(Infinity);
  }
}

/** y[i] over j of x[i, j]; NaN wins. */
export function f32_min_rows(rows: i32, columns: i32, x: usize, y: usize): void {
  foldRows<Min>(rows, columns, x, y);
}

/** y[o, j] over i of x[o, i, j]; NaN wins. */
export function f32_min_columns(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  foldColumns<Min>(outer, rows, columns, x, y);
}

class Prod extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.mul(a, b);
  }
  @inline
  start(): v128 {
    return f32x4.splat(1);
  }
}

/** y[i] over j of x[i, j]; NaN wins. */
export function f32_prod_rows(rows: i32, columns: i32, x: usize, y: usize): void {
  foldRows<Prod>(rows, columns, x, y);
}

/** y[o, j] over i of x[o, i, j]; NaN wins. */
export function f32_prod_columns(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  foldColumns<Prod>(outer, rows, columns, x, y);
}
