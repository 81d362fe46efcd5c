/**
 * Running sums and products over the middle axis of [outer, n, inner].
 *
 * Floats accumulate in double precision, in the order of the axis: each result is rounded once.
 *
 * Needs:  sizes >= 1; any alignment; y apart from x; nothing past the arrays is touched.
 */

/** Columns whose sums are kept at a time. */
const CHUNK: i32 = 256;

/** Bytes of scratch memory that the scans of floats need. */
export function f32_scan_scratch(): i32 {
  return CHUNK * 8;
}

/** What accumulates; a type argument. */
abstract class Scan {
  abstract start(): f64;
  abstract of(a: f64, b: f64): f64;
  abstract ofPairs(a: v128, b: v128): v128;
  abstract ofIntegers(a: i32, b: i32): i32;
}

class Sum extends Scan {
  @inline
  start(): f64 {
    return 0;
  }
  @inline
  of(a: f64, b: f64): f64 {
    return a + b;
  }
  @inline
  ofPairs(a: v128, b: v128): v128 {
    return f64x2.add(a, b);
  }
  @inline
  ofIntegers(a: i32, b: i32): i32 {
    return a + b;
  }
}

class Product extends Scan {
  @inline
  start(): f64 {
    return 1;
  }
  @inline
  of(a: f64, b: f64): f64 {
    return a * b;
  }
  @inline
  ofPairs(a: v128, b: v128): v128 {
    return f64x2.mul(a, b);
  }
  @inline
  ofIntegers(a: i32, b: i32): i32 {
    return a * b;
  }
}

@inline
function demote(low: v128, high: v128): v128 {
  return v128.shuffle<f32>(
    f32x4.demote_f64x2_zero(low),
    f32x4.demote_f64x2_zero(high),
    0,
    1,
    4,
    5,
  );
}

/** Four lines of n elements, `block` bytes apart, side by side, as each sum waits for the one before. */
@inline
function scanLines<S extends Scan>(n: i32, block: usize, step: usize, isExclusive: i32, x: usize, y: usize): void {
  const f = changetype<S>(0);
  let s0 = f.start(), s1 = s0, s2 = s0, s3 = s0;
  for (let i = 0; i < n; i++) {
    const t0 = f.of(s0, load<f32>(x) as f64);
    const t1 = f.of(s1, load<f32>(x + block) as f64);
    const t2 = f.of(s2, load<f32>(x + 2 * block) as f64);
    const t3 = f.of(s3, load<f32>(x + 3 * block) as f64);
    store<f32>(y, (isExclusive ? s0 : t0) as f32);
    store<f32>(y + block, (isExclusive ? s1 : t1) as f32);
    store<f32>(y + 2 * block, (isExclusive ? s2 : t2) as f32);
    store<f32>(y + 3 * block, (isExclusive ? s3 : t3) as f32);
    s0 = t0;
    s1 = t1;
    s2 = t2;
    s3 = t3;
    x += step;
    y += step;
  }
}

@inline
function scan<S extends Scan>(
  outer: i32,
  n: i32,
  inner: i32,
  isExclusive: i32,
  isReverse: i32,
  x: usize,
  y: usize,
  scratch: usize,
): void {
  const f = changetype<S>(0);
  const row = (inner as usize) << 2;
  const block = (n as usize) * row;
  const first = isReverse ? block - row : 0;
  const step: usize = isReverse ? (0 as usize) - row : row;
  let o = 0;
  if (inner == 1) {
    for (; o + 4 <= outer; o += 4) {
      scanLines<S>(n, block, step, isExclusive, x + first, y + first);
      x += 4 * block;
      y += 4 * block;
    }
  }
  for (; o < outer; o++) {
    const whole = inner & ~3;
    // Rows of a chunk one after the other, so that memory is read in order.
    for (let j = 0; j < whole; j += CHUNK) {
      const size = (min(CHUNK, whole - j) as usize) << 2;
      for (let c: usize = 0; c < size; c += 8) v128.store(scratch + 2 * c, f64x2.splat(f.start()));
      let at = first + ((j as usize) << 2);
      for (let i = 0; i < n; i++) {
        for (let c: usize = 0; c < size; c += 16) {
          const value = v128.load(x + at + c);
          const rest = v128.shuffle<f32>(value, value, 2, 3, 0, 1);
          const low = v128.load(scratch + 2 * c);
          const high = v128.load(scratch + 2 * c, 16);
          const nextLow = f.ofPairs(low, f64x2.promote_low_f32x4(value));
          const nextHigh = f.ofPairs(high, f64x2.promote_low_f32x4(rest));
          v128.store(y + at + c, isExclusive ? demote(low, high) : demote(nextLow, nextHigh));
          v128.store(scratch + 2 * c, nextLow);
          v128.store(scratch + 2 * c, nextHigh, 16);
        }
        at += step;
      }
    }
    let j = whole;
    for (; j < inner; j++) {
      let sum = f.start();
      let at = first + ((j as usize) << 2);
      for (let i = 0; i < n; i++) {
        const next = f.of(sum, load<f32>(x + at) as f64);
        store<f32>(y + at, (isExclusive ? sum : next) as f32);
        sum = next;
        at += step;
      }
    }
    x += block;
    y += block;
  }
}

@inline
function scanIntegers<S extends Scan>(
  outer: i32,
  n: i32,
  inner: i32,
  isExclusive: i32,
  isReverse: i32,
  x: usize,
  y: usize,
): void {
  const f = changetype<S>(0);
  const row = (inner as usize) << 2;
  const block = (n as usize) * row;
  const step: usize = isReverse ? (0 as usize) - row : row;
  for (let o = 0; o < outer; o++) {
    for (let j: usize = 0; j < row; j += 4) {
      let sum = f.start() as i32;
      let at = (isReverse ? block - row : 0) + j;
      for (let i = 0; i < n; i++) {
        const next = f.ofIntegers(sum, load<i32>(x + at));
        store<i32>(y + at, isExclusive ? sum : next);
        sum = next;
        at += step;
      }
    }
    x += block;
    y += block;
  }
}

/** y[o, i, j] = sum of x[o, k, j] over k <= i; k < i if exclusive, k >= i or k > i if reverse. */
export function f32_cumsum(
  outer: i32,
  n: i32,
  inner: i32,
  isExclusive: i32,
  isReverse: i32,
  x: usize,
  y: usize,
  scratch: usize,
): void {
  scan<Sum>(outer, n, inner, isExclusive, isReverse, x, y, scratch);
}

/** The same with products. */
export function f32_cumprod(
  outer: i32,
  n: i32,
  inner: i32,
  isExclusive: i32,
  isReverse: i32,
  x: usize,
  y: usize,
  scratch: usize,
): void {
  scan<Product>(outer, n, inner, isExclusive, isReverse, x, y, scratch);
}

/** Sums of 32-bit integers, modulo 2^32. */
export function i32_cumsum(
  outer: i32,
  n: i32,
  inner: i32,
  isExclusive: i32,
  isReverse: i32,
  x: usize,
  y: usize,
): void {
  scanIntegers<Sum>(outer, n, inner, isExclusive, isReverse, x, y);
}

/** Products of 32-bit integers, modulo 2^32. */
export function i32_cumprod(
  outer: i32,
  n: i32,
  inner: i32,
  isExclusive: i32,
  isReverse: i32,
  x: usize,
  y: usize,
): void {
  scanIntegers<Product>(outer, n, inner, isExclusive, isReverse, x, y);
}
