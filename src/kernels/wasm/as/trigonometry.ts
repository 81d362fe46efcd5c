/**
 * Sine and cosine within 2 ulp for every float.
 *
 * x = q pi/2 + r, |r| <= pi/4: the reduction runs in float64 up to 10^6, and above it in integers
 * on the bits of 2/pi, as many as a float's largest exponent needs.
 */

const TWO_OVER_PI: f64 = 0.6366197723675814;
/** pi/2 in two parts; the first has 33 bits, so q times it is exact below 2^20. */
const PI_2_HI: f64 = 1.5707963267341256;
const PI_2_LO: f64 = 6.077100506506192e-11;
const EASY: f32 = 1000000;

@inline
function splat(x: f32): v128 {
  return f32x4.splat(x);
}

@inline
function step(p: v128, x: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(p, x), splat(c));
}

@inline
function quotient(x: v128): v128 {
  return f64x2.nearest(f64x2.mul(x, f64x2.splat(TWO_OVER_PI)));
}

@inline
function remainder(x: v128, q: v128): v128 {
  const high = f64x2.sub(x, f64x2.mul(q, f64x2.splat(PI_2_HI)));
  return f64x2.sub(high, f64x2.mul(q, f64x2.splat(PI_2_LO)));
}

/** sin(x + quarters pi/2) */
@inline
function wave4(x: v128, quarters: i32): v128 {
  const low = f64x2.promote_low_f32x4(x);
  const high = f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1));
  const qLow = quotient(low);
  const qHigh = quotient(high);
  const r = v128.shuffle<i64>(
    f32x4.demote_f64x2_zero(remainder(low, qLow)),
    f32x4.demote_f64x2_zero(remainder(high, qHigh)),
    0,
    2,
  );
  const q = i32x4.add(
    v128.shuffle<i64>(
      i32x4.trunc_sat_f64x2_s_zero(qLow),
      i32x4.trunc_sat_f64x2_s_zero(qHigh),
      0,
      2,
    ),
    i32x4.splat(quarters),
  );
  const z = f32x4.mul(r, r);
  let s = step(splat(2.718046516747563e-06), z, -0.0001983930415008217);
  s = step(s, z, 0.008333329111337662);
  s = step(s, z, -0.1666666716337204);
  const sine = f32x4.add(r, f32x4.mul(f32x4.mul(r, z), s));
  let c = step(splat(2.443241282890085e-05), z, -0.0013887309469282627);
  c = step(c, z, 0.04166664555668831);
  const flat = f32x4.sub(splat(1), f32x4.mul(z, splat(0.5)));
  const cosine = f32x4.add(flat, f32x4.mul(f32x4.mul(z, z), c));
  const odd = i32x4.eq(v128.and(q, i32x4.splat(1)), i32x4.splat(1));
  const value = v128.bitselect(cosine, sine, odd);
  return v128.xor(value, i32x4.shl(v128.and(q, i32x4.splat(2)), 30));
}

/** Lanes beyond the easy range, one by one. */
@inline
function withLarge(x: v128, y: v128, quarters: i32): v128 {
  const size = f32x4.abs(x);
  if (!v128.any_true(f32x4.gt(size, splat(EASY)))) return y;
  y = f32x4.replace_lane(y, 0, large(f32x4.extract_lane(x, 0), f32x4.extract_lane(y, 0), quarters));
  y = f32x4.replace_lane(y, 1, large(f32x4.extract_lane(x, 1), f32x4.extract_lane(y, 1), quarters));
  y = f32x4.replace_lane(y, 2, large(f32x4.extract_lane(x, 2), f32x4.extract_lane(y, 2), quarters));
  return f32x4.replace_lane(
    y,
    3,
    large(f32x4.extract_lane(x, 3), f32x4.extract_lane(y, 3), quarters),
  );
}

/** 32 bits of 2/pi, from bit 32 i after the binary point. */
function bitsOf2OverPi(i: i32): u64 {
  switch (i) {
    case 0: return 0xa2f9836e;
    case 1: return 0x4e441529;
    case 2: return 0xfc2757d1;
    case 3: return 0xf534ddc0;
    case 4: return 0xdb629599;
    case 5: return 0x3c439041;
    default: return 0xfe5163ab;
  }
}

/** 32 bits of 2/pi, from any bit. */
function window(bit: i32): u64 {
  const i = bit >> 5;
  const pair = (bitsOf2OverPi(i) << 32) | bitsOf2OverPi(i + 1);
  return (pair << ((bit & 31) as u64)) >> 32;
}

/**
 * sin(x + quarters pi/2) if |x| is beyond the easy range and finite, else `y`.
 *
 * x = m 2^e with an integer m of 24 bits. Bits of 2/pi before number e - 1 make multiples of 4 in
 * x 2/pi; of the rest 96 bits are multiplied by m modulo 4.
 */
function large(x: f32, y: f32, quarters: i32): f32 {
  const size = abs(x);
  if (!(size > EASY) || size == Infinity) return y;
  const bits = reinterpret<u32>(size);
  const e = ((bits >> 23) as i32) - 150;
  const m = ((bits & 0x007fffff) | 0x00800000) as u64;
  // A window that would start before the binary point starts there, and the product is shifted.
  const first = e - 2;
  const shift = first < 0 ? -first : 0;
  const from = max(first, 0);
  const low = m * window(from + 64);
  const middle = m * window(from + 32) + (low >> 32);
  const high = m * window(from) + (middle >> 32);
  let turns = (high << 32) | (middle & 0xffffffff);
  if (shift > 0) turns = (turns >> (shift as u64)) | (high >> 32 << ((64 - shift) as u64));
  const q = ((turns + ((1 as u64) << 61)) >> 62) as i32;
  const r = (((turns << 2) as i64) as f64) * (1.5707963267948966 / 18446744073709551616.0);
  return waveOf(x < 0 ? -r : r, (x < 0 ? -q : q) + quarters);
}

/** sin(r + q pi/2) for |r| <= pi/4, by Taylor's series. */
function waveOf(r: f64, q: i32): f32 {
  const z = r * r;
  let term: f64 = (q & 1) != 0 ? 1 : r;
  let sum = term;
  for (let n: f64 = (q & 1) != 0 ? 1 : 2; n < 18; n += 2) {
    term *= -z / (n * (n + 1));
    sum += term;
  }
  return ((q & 2) != 0 ? -sum : sum) as f32;
}

@inline
export function sin4(x: v128): v128 {
  const y = withLarge(x, wave4(x, 0), 0);
  return v128.bitselect(x, y, f32x4.eq(x, splat(0)));
}

@inline
export function cos4(x: v128): v128 {
  return withLarge(x, wave4(x, 1), 1);
}
