/**
 * Dropout from random numbers that are functions of a key and a position: Threefry-2x32 of 20 rounds
 * (Salmon et al., SC 2011), the generator of src/core/random.ts, four blocks at a time.
 */
import { loadPart, storePart, zipHigh, zipLow } from "./lanes";

@inline
function rotate(x: v128, by: i32): v128 {
  return v128.or(i32x4.shl(x, by), i32x4.shr_u(x, 32 - by));
}

/**
 * y[i] = x[i] keep where the draw at i is >= threshold, else 0. The draws are the high 24 bits of the
 * words of the blocks (key, counter position + i / 2).
 *
 * Needs:  n >= 0; y may be x; any alignment; nothing past the arrays is touched. Draws of one call
 *         stay below 2^32 blocks.
 */
export function f32_dropout(
  n: i32,
  x: usize,
  k0: i32,
  k1: i32,
  position: i32,
  threshold: i32,
  keep: f32,
  y: usize,
): void {
  const k2 = k0 ^ k1 ^ 0x1bd11bda;
  const limit = i32x4.splat(threshold);
  const scale = f32x4.splat(keep);
  let counter = i32x4.add(i32x4.splat(position), i32x4(0, 1, 2, 3));
  for (let i = 0; i < n; i += 8) {
    let a = i32x4.add(counter, i32x4.splat(k0));
    let b = i32x4.splat(k1);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 13), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 15), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 26), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 6), a);
    a = i32x4.add(a, i32x4.splat(k1)), b = i32x4.add(b, i32x4.splat(k2 + 1));
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 17), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 29), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 16), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 24), a);
    a = i32x4.add(a, i32x4.splat(k2)), b = i32x4.add(b, i32x4.splat(k0 + 2));
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 13), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 15), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 26), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 6), a);
    a = i32x4.add(a, i32x4.splat(k0)), b = i32x4.add(b, i32x4.splat(k1 + 3));
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 17), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 29), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 16), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 24), a);
    a = i32x4.add(a, i32x4.splat(k1)), b = i32x4.add(b, i32x4.splat(k2 + 4));
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 13), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 15), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 26), a);
    a = i32x4.add(a, b), b = v128.xor(rotate(b, 6), a);
    a = i32x4.add(a, i32x4.splat(k2)), b = i32x4.add(b, i32x4.splat(k0 + 5));
    counter = i32x4.add(counter, i32x4.splat(4));

    const low = kept(zipLow(a, b), limit, scale);
    const high = kept(zipHigh(a, b), limit, scale);
    const lanes = n - i;
    if (lanes >= 8) {
      v128.store(y, f32x4.mul(v128.load(x), low));
      v128.store(y, f32x4.mul(v128.load(x, 16), high), 16);
    } else {
      if (lanes >= 4) v128.store(y, f32x4.mul(v128.load(x), low));
      else storePart(y, f32x4.mul(loadPart(x, lanes), low), lanes);
      if (lanes > 4) storePart(y + 16, f32x4.mul(loadPart(x + 16, lanes - 4), high), lanes - 4);
    }
    x += 32;
    y += 32;
  }
}

/** `keep` where the word's draw is at least `limit`, else 0. */
@inline
function kept(words: v128, limit: v128, keep: v128): v128 {
  return v128.and(i32x4.ge_s(i32x4.shr_u(words, 8), limit), keep);
}
