/**
 * Elementary functions of four floats, without tables and without fused multiply-add, so that every
 * runtime computes the same bits. Bounds in units in the last place (ulp) are asserted by
 * unary_test.ts over sweeps of the whole range; polynomials come from tools/fit_polynomials.py.
 *
 * ln 2 is split in HI (10 bits, so n * HI is exact for every exponent n) and LO. Clamps are pmin and
 * pmax, one instruction where min and max are seven; with the argument first they keep a NaN. Adding
 * ROUND leaves a whole number in the low bits of the sum, which saves the costly conversion.
 */

const LOG2E: f32 = 1.4426950408889634;
const LN2_HI: f32 = 0.693359375;
const LN2_LO: f32 = -0.00021219444005469057;
/** 1.5 * 2^23 */
const ROUND: f32 = 12582912;

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

/** The magnitude of `x` with the sign of `y`. */
@inline
function copySign(x: v128, y: v128): v128 {
  return v128.bitselect(y, x, ints(0x80000000));
}

/** n + ROUND, where x = n ln 2 + r and |r| <= ln 2 / 2. */
@inline
function exponent(x: v128): v128 {
  return f32x4.add(f32x4.mul(x, splat(LOG2E)), splat(ROUND));
}

/** exp(r) - 1 for r = x - n ln 2, |r| <= ln 2 / 2; what r rounds away is added with the small terms. */
@inline
function expm1Reduced(x: v128, n: v128): v128 {
  const high = f32x4.sub(x, f32x4.mul(n, splat(LN2_HI)));
  const low = f32x4.mul(n, splat(LN2_LO));
  const r = f32x4.sub(high, low);
  const lost = f32x4.sub(f32x4.sub(high, r), low);
  let p = step(splat(0.0013946059625595808), r, 0.008366312831640244);
  p = step(p, r, 0.041666287928819656);
  p = step(p, r, 0.1666654646396637);
  p = step(p, r, 0.5);
  return f32x4.add(r, f32x4.add(lost, f32x4.mul(f32x4.mul(r, r), p)));
}

/** e^x within 1.5 ulp, subnormal results included. */
@inline
export function exp4(x: v128): v128 {
  const isFar = f32x4.gt(f32x4.abs(x), splat(87));
  const y = expNear4(x);
  // Lane by lane, so that an element's bits do not depend on its neighbours.
  return v128.any_true(isFar) ? pick(isFar, expFar4(x), y) : y;
}

/** e^x for |x| <= 87 (and NaN). */
@inline
function expNear4(x: v128): v128 {
  const sum = exponent(x);
  const n = f32x4.sub(sum, splat(ROUND));
  const r = f32x4.sub(f32x4.sub(x, f32x4.mul(n, splat(LN2_HI))), f32x4.mul(n, splat(LN2_LO)));
  let p = step(splat(0.0013946059625595808), r, 0.008366312831640244);
  p = step(p, r, 0.041666287928819656);
  p = step(p, r, 0.1666654646396637);
  p = step(p, r, 0.5);
  const y = f32x4.add(splat(1), f32x4.add(r, f32x4.mul(f32x4.mul(r, r), p)));
  return f32x4.mul(y, power2(sum));
}

/** The same where the result may be subnormal or infinite; out of line, as few arguments are. */
function expFar4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, splat(-104)), splat(89));
  const sum = exponent(x);
  const y = f32x4.add(splat(1), expm1Reduced(x, f32x4.sub(sum, splat(ROUND))));
  // The scale in two factors: each is a normal number, and only the last product rounds.
  const k = i32x4.sub(sum, ints(0x4b400000));
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
  const s = power2(i32x4.sub(sum, ints(1)));
  const y = f32x4.add(f32x4.mul(s, p), f32x4.sub(s, splat(0.5)));
  return pick(f32x4.eq(x, splat(0)), x, f32x4.add(y, y));
}

/** log(1 + f) + k ln 2 + c for sqrt(1/2) <= 1 + f < sqrt(2). */
@inline
function logReduced(f: v128, k: v128, c: v128): v128 {
  let p = step(splat(0.06746640801429749), f, -0.11675652116537094);
  p = step(p, f, 0.11888162046670914);
  p = step(p, f, -0.1240558922290802);
  p = step(p, f, 0.14219552278518677);
  p = step(p, f, -0.1666799634695053);
  p = step(p, f, 0.2000211924314499);
  p = step(p, f, -0.25000008940696716);
  p = step(p, f, 0.3333331346511841);
  const square = f32x4.mul(f, f);
  let y = f32x4.mul(f32x4.mul(f, square), p);
  y = f32x4.add(y, f32x4.add(c, f32x4.mul(k, splat(LN2_LO))));
  y = f32x4.sub(y, f32x4.mul(square, splat(0.5)));
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
  const tiny = f32x4.lt(x, splat(1.1754943508222875e-38));
  const bits = moved(pick(tiny, f32x4.mul(x, splat(8388608)), x));
  const k = f32x4.sub(exponentOf(bits), v128.and(tiny, splat(23)));
  const y = logReduced(fractionOf(bits), k, splat(0));
  return logLimits(x, x, y);
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

/** tanh x within 2 ulp. */
@inline
export function tanh4(x: v128): v128 {
  const size = f32x4.abs(x);
  const square = f32x4.mul(x, x);
  let p = step(splat(-0.005704987328499556), square, 0.0206390880048275);
  p = step(p, square, -0.05373971536755562);
  p = step(p, square, 0.13331441581249237);
  p = step(p, square, -0.3333328068256378);
  const small = f32x4.add(x, f32x4.mul(f32x4.mul(x, square), p));
  // Beyond 10 the result is 1; the clamp, with the argument first, keeps a NaN.
  const e = expNear4(f32x4.mul(f32x4.pmin(size, splat(10)), splat(-2)));
  const large = f32x4.div(f32x4.sub(splat(1), e), f32x4.add(splat(1), e));
  return pick(f32x4.lt(size, splat(0.625)), small, copySign(large, x));
}

/** 1 / (1 + e^-x) within 2.5 ulp, subnormal results included. */
@inline
export function sigmoid4(x: v128): v128 {
  const e = exp4(f32x4.neg(f32x4.abs(x)));
  const above = pick(f32x4.lt(x, splat(0)), e, splat(1));
  return f32x4.div(above, f32x4.add(splat(1), e));
}

/** log(1 + e^x) within 2 ulp. */
@inline
export function softplus4(x: v128): v128 {
  return f32x4.add(f32x4.pmax(x, splat(0)), log1p4(exp4(f32x4.neg(f32x4.abs(x)))));
}

/** The error function within 2 ulp: x P(x^2) below 1, 1 - e^-Q(x) above. */
@inline
export function erf4(x: v128): v128 {
  const square = f32x4.mul(x, x);
  let p = step(splat(7.85388401709497e-05), square, -0.0008010200690478086);
  p = step(p, square, 0.005188328679651022);
  p = step(p, square, -0.026853812858462334);
  p = step(p, square, 0.1128358542919159);
  p = step(p, square, -0.3761262595653534);
  p = step(p, square, 0.12837916612625122);
  const small = f32x4.add(x, f32x4.mul(x, p));
  const isLarge = f32x4.ge(f32x4.abs(x), splat(1));
  if (!v128.any_true(isLarge)) return small;
  const size = f32x4.pmin(f32x4.abs(x), splat(4));
  let q = step(splat(-1.7247219830096583e-07), size, 2.417125324427616e-05);
  q = step(q, size, -0.00045667641097679734);
  q = step(q, size, 0.004257604945451021);
  q = step(q, size, -0.025320637971162796);
  q = step(q, size, 0.10856802761554718);
  q = step(q, size, 0.6330980062484741);
  q = step(q, size, 1.129634141921997);
  q = step(q, size, -0.00019900646293535829);
  const large = f32x4.sub(splat(1), expNear4(f32x4.neg(q)));
  return pick(isLarge, copySign(large, x), small);
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
