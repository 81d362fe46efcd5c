/**
 * Sine and cosine within 2 ulp for every float.
 *
 * Up to 10^6 x = (q - h) pi + r in float64, |r| <= pi/2, where h is 0 for the sine and 1/2 for the
 * cosine: the result is sin r, of the other sign if q is odd. Above it the reduction runs in integers
 * on the bits of 2/pi, as many as a float's largest exponent needs.
 */

const ONE_OVER_PI: f64 = 0.3183098861837907;
/** pi in two parts; the first has 33 bits, so (q - h) times it is exact below 2^19. */
const PI_HI: f64 = 3.1415926534682512;
const PI_LO: f64 = 1.2154201013012384e-10;
/** 1.5 * 2^52: a sum with it is a whole number, in the low bits. */
const ROUND: f64 = 6755399441055744;
const EASY: f32 = 1000000;

@inline
function splat(x: f32): v128 {
  return f32x4.splat(x);
}

@inline
function step(p: v128, x: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(p, x), splat(c));
}

/** q + ROUND */
@inline
function rounded(x: v128, h: f64): v128 {
  const q = f64x2.mul(x, f64x2.splat(ONE_OVER_PI));
  return f64x2.add(h == 0 ? q : f64x2.add(q, f64x2.splat(h)), f64x2.splat(ROUND));
}

/** r */
@inline
function remainder(x: v128, sum: v128, h: f64): v128 {
  let q = f64x2.sub(sum, f64x2.splat(ROUND));
  if (h != 0) q = f64x2.sub(q, f64x2.splat(h));
  const high = f64x2.sub(x, f64x2.mul(q, f64x2.splat(PI_HI)));
  return f64x2.sub(high, f64x2.mul(q, f64x2.splat(PI_LO)));
}

/** sin(x + h pi) */
@inline
function wave4(x: v128, h: f64): v128 {
  const low = f64x2.promote_low_f32x4(x);
  const high = f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1));
  const sumLow = rounded(low, h);
  const sumHigh = rounded(high, h);
  const r = v128.shuffle<i64>(
    f32x4.demote_f64x2_zero(remainder(low, sumLow, h)),
    f32x4.demote_f64x2_zero(remainder(high, sumHigh, h)),
    0,
    2,
  );
  const q = v128.shuffle<i32>(sumLow, sumHigh, 0, 2, 4, 6);
  const z = f32x4.mul(r, r);
  let s = step(splat(2.602138920337893e-6), z, -0.00019807784701697528);
  s = step(s, z, 0.008333038538694382);
  s = step(s, z, -0.16666658222675323);
  const sine = f32x4.add(r, f32x4.mul(f32x4.mul(r, z), s));
  return v128.xor(sine, i32x4.shl(q, 31));
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
  return withLarge(x, wave4(x, 0.5), 1);
}
