/**
 * x^y of four floats within 1 ulp, with the limits of C's pow: in float64, two lanes at a time,
 * x^y = e^(y log x) with both functions as series that are exact to 2^-33.
 */

/** 1.5 * 2^52: the sum with a small number holds the nearest whole number in its low bits. */
const ROUND: f64 = 6755399441055744;

@inline
function splat(x: f64): v128 {
  return f64x2.splat(x);
}

@inline
function step(p: v128, x: v128, c: f64): v128 {
  return f64x2.add(f64x2.mul(p, x), splat(c));
}

/** log x of positive normal float64: s = (m - 1) / (m + 1), log m = 2 (s + s^3 / 3 + ...). */
@inline
function logOfTwo(x: v128): v128 {
  const bits = i64x2.add(x, i64x2.splat(0x3ff0000000000000 - 0x3fe6a09e667f3bcd));
  const k = i64x2.sub(i64x2.shr_u(bits, 52), i64x2.splat(1023));
  // A small integer as float64: its low half, converted.
  const exponent = f64x2.convert_low_i32x4_s(v128.shuffle<i32>(k, k, 0, 2, 0, 2));
  const m = i64x2.add(
    v128.and(bits, i64x2.splat(0x000fffffffffffff)),
    i64x2.splat(0x3fe6a09e667f3bcd),
  );
  const s = f64x2.div(f64x2.sub(m, splat(1)), f64x2.add(m, splat(1)));
  const z = f64x2.mul(s, s);
  let p = step(splat(1.0 / 15), z, 1.0 / 13);
  p = step(p, z, 1.0 / 11);
  p = step(p, z, 1.0 / 9);
  p = step(p, z, 1.0 / 7);
  p = step(p, z, 1.0 / 5);
  p = step(p, z, 1.0 / 3);
  p = step(p, z, 1);
  const log = f64x2.mul(f64x2.add(s, s), p);
  return f64x2.add(log, f64x2.mul(exponent, splat(0.6931471805599453)));
}

/** e^t, of which only what a float can hold matters: t is clamped. */
@inline
function expOfTwo(t: v128): v128 {
  const x = f64x2.pmin(f64x2.pmax(t, splat(-200)), splat(200));
  const sum = f64x2.add(f64x2.mul(x, splat(1.4426950408889634)), splat(ROUND));
  const n = f64x2.sub(sum, splat(ROUND));
  const r = f64x2.sub(x, f64x2.mul(n, splat(0.6931471805599453)));
  let p = step(splat(1.0 / 3628800), r, 1.0 / 362880);
  p = step(p, r, 1.0 / 40320);
  p = step(p, r, 1.0 / 5040);
  p = step(p, r, 1.0 / 720);
  p = step(p, r, 1.0 / 120);
  p = step(p, r, 1.0 / 24);
  p = step(p, r, 1.0 / 6);
  p = step(p, r, 0.5);
  p = step(p, r, 1);
  p = step(p, r, 1);
  const scale = i64x2.shl(i64x2.add(sum, i64x2.splat(1023)), 52);
  return f64x2.mul(p, scale);
}

/** |x|^y of the two low lanes; |x| is neither 0 nor infinite. */
@inline
function lowPower(x: v128, y: v128): v128 {
  const t = f64x2.mul(f64x2.promote_low_f32x4(y), logOfTwo(f64x2.promote_low_f32x4(x)));
  return f32x4.demote_f64x2_zero(expOfTwo(t));
}

@inline
function pick(mask: v128, x: v128, y: v128): v128 {
  return v128.bitselect(x, y, mask);
}

@inline
function highHalf(x: v128): v128 {
  return v128.shuffle<i64>(x, x, 1, 1);
}

@inline
export function pow4(x: v128, y: v128): v128 {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  const infinity = f32x4.splat(Infinity);
  const size = f32x4.abs(x);
  const isZero = f32x4.eq(size, zero);
  const isInfinite = f32x4.eq(size, infinity);
  const base = pick(v128.or(isZero, isInfinite), one, size);
  let r = v128.shuffle<i64>(lowPower(base, y), lowPower(highHalf(base), highHalf(y)), 0, 2);
  // 0 and infinity, by the sign of y; 1^y = 1 even for infinite y, whose product with log 1 is NaN.
  const isFalling = f32x4.lt(y, zero);
  r = pick(isZero, pick(isFalling, infinity, zero), r);
  r = pick(isInfinite, pick(isFalling, zero, infinity), r);
  r = pick(v128.and(f32x4.eq(size, one), f32x4.eq(y, y)), one, r);
  // Negative bases: whole exponents only, and odd ones give the sign.
  const isWhole = f32x4.eq(f32x4.floor(y), y);
  const half = f32x4.mul(y, f32x4.splat(0.5));
  const isOdd = v128.andnot(isWhole, f32x4.eq(f32x4.floor(half), half));
  r = v128.xor(r, v128.and(v128.and(isOdd, x), i32x4.splat(0x80000000)));
  const isRoot = v128.andnot(v128.andnot(f32x4.lt(x, zero), isWhole), isInfinite);
  r = pick(isRoot, f32x4.splat(NaN), r);
  r = pick(v128.and(f32x4.eq(x, x), f32x4.eq(y, y)), r, f32x4.splat(NaN));
  return pick(v128.or(f32x4.eq(y, zero), f32x4.eq(x, one)), one, r);
}
