/**
 * Elementary functions of four floats, without tables and without fused multiply-add, so that every
 * runtime computes the same bits. Bounds in units in the last place (ulp) are asserted by
 * unary_test.ts over sweeps of the whole range; polynomials come from tools/fit_polynomials.py.
 *
 * ln 2 is split in HI (10 bits, so n * HI is exact for every exponent n) and LO. Clamps are pmin and
 * pmax, one instruction where min and max are seven; with the argument first they keep a NaN. Adding
 * ROUND leaves a whole number in the low bits of the sum, which saves the costly conversion; its 127
 * makes that the exponent field of 2^n. Polynomials are added up in halves: what limits these loops is
 * how long each operation waits for the one before.
 */

const LOG2E: f32 = 1.4426950408889634;
const LN2_HI: f32 = 0.693359375;
const LN2_LO: f32 = -0.00021219444005469057;
/** 1.5 * 2^23 + 127 */
const ROUND: f32 = 12583039;
const SIGN: i32 = 0x80000000;

@inline
function splat(x: f32): v128 {
  return f32x4.splat(x);
}

@inline
function ints(x: i32): v128 {
  return i32x4.splat(x);
}

/** p * x + c */
@inline
function step(p: v128, x: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(p, x), splat(c));
}

/** Lanes of `x` where the mask is set, else of `y`. */
@inline
function pick(mask: v128, x: v128, y: v128): v128 {
  return v128.bitselect(x, y, mask);
}

/** 2^k for -126 <= k <= 127, of which only the low nine bits count. */
@inline
function power2(k: v128): v128 {
  return i32x4.shl(i32x4.add(k, ints(127)), 23);
}

/** n + ROUND, where x = n ln 2 + r and |r| <= ln 2 / 2. */
@inline
function exponent(x: v128): v128 {
  return f32x4.add(f32x4.mul(x, splat(LOG2E)), splat(ROUND));
}

/** 2^n of the sum n + ROUND. */
@inline
function scale(sum: v128): v128 {
  return i32x4.shl(sum, 23);
}

/** exp(r) - 1 - r for |r| <= ln 2 / 2. */
@inline
function expTail(r: v128): v128 {
  const square = f32x4.mul(r, r);
  const high = step(splat(0.008366312831640244), r, 0.041666287928819656);
  const p = f32x4.add(f32x4.mul(square, splat(0.0013946059625595808)), high);
  const low = step(splat(0.1666654646396637), r, 0.5);
  return f32x4.mul(square, f32x4.add(f32x4.mul(square, p), low));
}

/** exp(r) - 1 for r = x - n ln 2, |r| <= ln 2 / 2. */
@inline
function expm1Near(x: v128, n: v128): v128 {
  const r = f32x4.sub(f32x4.sub(x, f32x4.mul(n, splat(LN2_HI))), f32x4.mul(n, splat(LN2_LO)));
  return f32x4.add(r, expTail(r));
}

/** The same; what r rounds away is added with the small terms. */
@inline
function expm1Reduced(x: v128, n: v128): v128 {
  const high = f32x4.sub(x, f32x4.mul(n, splat(LN2_HI)));
  const low = f32x4.mul(n, splat(LN2_LO));
  const r = f32x4.sub(high, low);
  const lost = f32x4.sub(f32x4.sub(high, r), low);
  return f32x4.add(r, f32x4.add(lost, expTail(r)));
}

/** Lanes whose magnitude is above 87: e^x may be subnormal or infinite. */
@inline
function isFar(x: v128): v128 {
  return f32x4.gt(f32x4.abs(x), splat(87));
}

/** e^x within 1.5 ulp, subnormal results included. */
@inline
export function exp4(x: v128): v128 {
  const far = isFar(x);
  const y = expNear4(x);
  // Lane by lane, so that an element's bits do not depend on its neighbours.
  return v128.any_true(far) ? pick(far, expFar4(x), y) : y;
}

/** e^x for |x| <= 87 (and NaN). */
@inline
function expNear4(x: v128): v128 {
  const sum = exponent(x);
  const y = expm1Near(x, f32x4.sub(sum, splat(ROUND)));
  return f32x4.mul(f32x4.add(splat(1), y), scale(sum));
}

/** The same where the result may be subnormal or infinite; out of line, as few arguments are. */
function expFar4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, splat(-104)), splat(89));
  const sum = exponent(x);
  const y = f32x4.add(splat(1), expm1Reduced(x, f32x4.sub(sum, splat(ROUND))));
  // The scale in two factors: each is a normal number, and only the last product rounds.
  const k = i32x4.sub(sum, ints(0x4b40007f));
  const half = i32x4.shr_s(k, 1);
  return f32x4.mul(f32x4.mul(y, power2(half)), power2(i32x4.sub(k, half)));
}

/** e^x - 1 within 2 ulp. */
@inline
export function expm14(x: v128): v128 {
  const c = f32x4.pmin(f32x4.pmax(x, splat(-20)), splat(89));
  const sum = exponent(c);
  const p = expm1Reduced(c, f32x4.sub(sum, splat(ROUND)));
  // Half of the result, so that 2^n does not overflow before the result does.
  const s = scale(i32x4.sub(sum, ints(1)));
  const y = f32x4.add(f32x4.mul(s, p), f32x4.sub(s, splat(0.5)));
  return pick(f32x4.eq(x, splat(0)), x, f32x4.add(y, y));
}

/** log(1 + f) + k ln 2 + c for sqrt(1/2) <= 1 + f < sqrt(2): 2 artanh(f / (2 + f)) is log(1 + f). */
@inline
function logReduced(f: v128, k: v128, c: v128): v128 {
  const s = f32x4.div(f, f32x4.add(f, splat(2)));
  const square = f32x4.mul(s, s);
  let p = step(splat(0.29870936274528503), square, 0.39977574348449707);
  p = step(p, square, 0.6666677594184875);
  const half = f32x4.mul(f32x4.mul(f, f), splat(0.5));
  let y = f32x4.mul(s, f32x4.add(half, f32x4.mul(p, square)));
  y = f32x4.add(y, f32x4.add(c, f32x4.mul(k, splat(LN2_LO))));
  y = f32x4.sub(y, half);
  return f32x4.add(f32x4.add(f, y), f32x4.mul(k, splat(LN2_HI)));
}

/** Bits of a positive normal float, moved so that the exponent field counts from sqrt(1/2). */
@inline
function moved(x: v128): v128 {
  return i32x4.add(x, ints(0x3f800000 - 0x3f3504f3));
}

@inline
function exponentOf(bits: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_s(bits, 23), ints(127)));
}

/** The significand minus 1, between sqrt(1/2) - 1 and sqrt(2) - 1. */
@inline
function fractionOf(bits: v128): v128 {
  const significand = i32x4.add(v128.and(bits, ints(0x007fffff)), ints(0x3f3504f3));
  return f32x4.sub(significand, splat(1));
}

/** log x within 1 ulp: -Inf at 0, NaN below. */
@inline
export function log4(x: v128): v128 {
  // Subnormal, infinite, NaN, zero or negative, in one comparison of bits
  const far = i32x4.gt_s(i32x4.sub(x, ints(0x80800000)), ints(0xfeffffff));
  const bits = moved(x);
  const y = logReduced(fractionOf(bits), exponentOf(bits), splat(0));
  return v128.any_true(far) ? pick(far, logFar4(x), y) : y;
}

/** The same for every x; out of line, as few arguments need it. */
function logFar4(x: v128): v128 {
  const tiny = f32x4.lt(x, splat(1.1754943508222875e-38));
  const bits = moved(pick(tiny, f32x4.mul(x, splat(8388608)), x));
  const k = f32x4.sub(exponentOf(bits), v128.and(tiny, splat(23)));
  return logLimits(x, x, logReduced(fractionOf(bits), k, splat(0)));
}

/** `y`, or what the logarithm of `u` is outside of the positive finite numbers. */
@inline
function logLimits(u: v128, x: v128, y: v128): v128 {
  y = pick(f32x4.eq(u, splat(0)), splat(-Infinity), y);
  y = pick(f32x4.lt(u, splat(0)), splat(NaN), y);
  // +Inf and NaN, which are not below +Inf
  return pick(f32x4.lt(x, splat(Infinity)), y, x);
}

/** log(1 + x) within 2 ulp. */
@inline
export function log1p4(x: v128): v128 {
  const one = splat(1);
  const u = f32x4.add(one, x);
  const bits = moved(u);
  // What the sum 1 + x lost, to first order.
  const lost = pick(
    f32x4.gt(x, one),
    f32x4.sub(one, f32x4.sub(u, x)),
    f32x4.sub(x, f32x4.sub(u, one)),
  );
  const near = v128.and(f32x4.gt(x, splat(-0.29)), f32x4.lt(x, splat(0.41)));
  const f = pick(near, x, fractionOf(bits));
  const k = v128.andnot(exponentOf(bits), near);
  const y = logReduced(f, k, v128.andnot(f32x4.div(lost, u), near));
  return pick(f32x4.eq(x, splat(0)), x, logLimits(u, x, y));
}

/** tanh x within 2.5 ulp: m / (m + 2) for m = e^2|x| - 1. */
@inline
export function tanh4(x: v128): v128 {
  const sign = v128.and(x, ints(SIGN));
  // Beyond 10 the result is 1.
  const h = f32x4.pmin(v128.xor(x, sign), splat(10));
  // h = n ln 2 / 2 + r, and the polynomial of exp in 2 r
  const sum = f32x4.add(f32x4.mul(h, splat(2 * LOG2E)), splat(ROUND));
  const n = f32x4.sub(sum, splat(ROUND));
  const r = f32x4.sub(f32x4.sub(h, f32x4.mul(n, splat(LN2_HI / 2))), f32x4.mul(n, splat(LN2_LO / 2)));
  const square = f32x4.mul(r, r);
  const high = step(splat(0.008366312831640244 * 32), r, 0.041666287928819656 * 16);
  const p = f32x4.add(f32x4.mul(square, splat(0.0013946059625595808 * 64)), high);
  const low = step(splat(0.1666654646396637 * 8), r, 2);
  const tail = f32x4.mul(square, f32x4.add(f32x4.mul(square, p), low));
  const m = grown(f32x4.add(f32x4.add(r, r), tail), sum);
  return v128.or(sign, f32x4.div(m, f32x4.add(m, splat(2))));
}

/** 2^n (1 + y) - 1 */
@inline
function grown(y: v128, sum: v128): v128 {
  const s = scale(sum);
  return f32x4.add(f32x4.mul(s, y), f32x4.sub(s, splat(1)));
}

/** 1 / (1 + e^-x) within 2.5 ulp, subnormal results included. */
@inline
export function sigmoid4(x: v128): v128 {
  const far = isFar(x);
  const one = splat(1);
  const y = f32x4.div(one, f32x4.add(one, expNear4(v128.xor(x, ints(SIGN)))));
  return v128.any_true(far) ? pick(far, f32x4.pmin(expFar4(x), one), y) : y;
}

/** log(1 + e^x) within 2.5 ulp: log(1 + t) = t + t^2 P(t) / Q(t) for t = e^-|x| <= 1. */
@inline
export function softplus4(x: v128): v128 {
  const t = exp4(v128.or(x, ints(SIGN)));
  const square = f32x4.mul(t, t);
  let p = step(splat(-0.4507353603839874), t, -0.49999991059303284);
  p = f32x4.add(f32x4.mul(square, splat(-0.07225356996059418)), p);
  const q = step(splat(0.07570214569568634), t, 0.6899749040603638);
  const below = f32x4.add(f32x4.mul(square, q), step(splat(1.5681324005126953), t, 1));
  const rest = f32x4.div(f32x4.mul(square, p), below);
  return f32x4.add(f32x4.pmax(x, splat(0)), f32x4.add(t, rest));
}

/**
 * The error function within 3.5 ulp: x / 4 + x P(x^2) / Q(x^2). The product with 1/4 is exact, and of
 * a result near 1 it is nearly all, so that the quotient's rounding counts little there.
 */
@inline
export function erf4(x: v128): v128 {
  // From 3.92 on the result is 1.
  const c = f32x4.pmax(f32x4.pmin(x, splat(3.925)), splat(-3.925));
  const z = f32x4.mul(c, c);
  const square = f32x4.mul(z, z);
  let p = step(splat(-1.0423336789244786e-5), z, 4.55778390460182e-5);
  p = f32x4.add(p, f32x4.mul(square, splat(-1.2710734154097736e-5)));
  p = f32x4.add(f32x4.mul(square, p), step(splat(0.04124075919389725), z, 0.11072032898664474));
  let q = step(splat(0.001981485402211547), z, 0.025509031489491463);
  q = f32x4.add(q, f32x4.mul(square, splat(6.477635179180652e-5)));
  q = f32x4.add(f32x4.mul(square, q), step(splat(0.1943967342376709), z, 0.8550685048103333));
  const above = f32x4.mul(c, step(p, z, 1.4954404830932617));
  const part = f32x4.div(above, step(q, z, 1.7024999856948853));
  return f32x4.add(f32x4.mul(c, splat(0.25)), part);
}

/** x (1 + erf(x / sqrt 2)) / 2, within 4 ulp of the larger of |result| and |x| / 2. */
@inline
export function gelu4(x: v128): v128 {
  const y = f32x4.add(splat(1), erf4(f32x4.mul(x, splat(0.7071067811865476))));
  return f32x4.mul(f32x4.mul(x, splat(0.5)), y);
}

/** x above 0, else e^x - 1. */
@inline
export function elu4(x: v128): v128 {
  return pick(f32x4.ge(x, splat(0)), x, expm14(x));
}

@inline
export function relu4(x: v128): v128 {
  // The sum makes -0 a 0.
  return f32x4.add(f32x4.pmax(x, splat(0)), splat(0));
}

@inline
export function relu64(x: v128): v128 {
  return f32x4.pmin(relu4(x), splat(6));
}

/** x above 0, else alpha x; the slope of NaN is NaN. */
@inline
export function leakyRelu4(x: v128, alpha: v128): v128 {
  return pick(f32x4.lt(x, splat(0)), f32x4.mul(x, alpha), x);
}

/** 1 above 0, else alpha; NaN stays NaN. */
@inline
export function step4(x: v128, alpha: v128): v128 {
  const y = pick(f32x4.gt(x, splat(0)), splat(1), alpha);
  return pick(f32x4.eq(x, x), y, x);
}

/** -1, 0 or 1; NaN gives 0, as in tfjs. */
@inline
export function sign4(x: v128): v128 {
  const above = v128.and(f32x4.gt(x, splat(0)), splat(1));
  return v128.or(above, v128.and(f32x4.lt(x, splat(0)), splat(-1)));
}
