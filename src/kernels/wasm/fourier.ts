/**
 * Discrete Fourier transforms of any length in O(n log n), in double precision.
 *
 * Lengths without large prime factors are transformed factor by factor (Stockham's order, which sorts
 * on the way); others become a convolution whose length is a power of two (Bluestein, 1970). With sines from core/math.ts every runtime gives the same bits,
 * and the rounding to float32 is nearly all of the error.
 */
import { cosSin } from "../../core/math.ts";

/** One length's tables, and transforms in place of numbers `re`, `im` of that length. */
type Plan = (re: Float64Array, im: Float64Array) => void;

let last: { readonly n: number; readonly plan: Plan } | undefined;

/**
 * For each row of `n` complex numbers
 *
 *     to[k] = sum over j of from[j] exp(-2 pi i j k / n)
 *
 * or, inverse, with the opposite sign of the exponent and divided by n. The source may be the target.
 */
export function fourier(
  n: number,
  isInverse: boolean,
  fromRe: Float32Array,
  fromIm: Float32Array,
  toRe: Float32Array,
  toIm: Float32Array,
): void {
  if (n === 0) return;
  if (last?.n !== n) last = { n, plan: planOf(n) };
  const { plan } = last;
  const [re, im] = [new Float64Array(n), new Float64Array(n)];
  const scale = isInverse ? 1 / n : 1;
  for (let at = 0; at < fromRe.length; at += n) {
    re.set(fromRe.subarray(at, at + n));
    im.set(fromIm.subarray(at, at + n));
    // With real and imaginary parts exchanged, the transform runs backwards.
    if (isInverse) plan(im, re);
    else plan(re, im);
    for (let k = 0; k < n; k++) {
      toRe[at + k] = re[k] * scale;
      toIm[at + k] = im[k] * scale;
    }
  }
}

/** Above this a prime costs more in a sum of its length than in a convolution. */
const LARGEST_FACTOR = 31;

function planOf(n: number): Plan {
  const factors = factorsOf(n);
  return factors.every((p) => p <= LARGEST_FACTOR) ? byFactors(n, factors) : bluestein(n);
}

/** Fours first, then primes in rising order. */
function factorsOf(n: number): number[] {
  const factors: number[] = [];
  for (; n % 4 === 0; n /= 4) factors.push(4);
  for (let p = 2; n > 1; p++) {
    if (p * p > n) p = n;
    for (; n % p === 0; n /= p) factors.push(p);
  }
  return factors;
}

/**
 * A pass for every factor p, with s the product of the factors before and m = n / (p s):
 *
 *     to[t + s (p q + r)] = sum over k of from[t + s (q + m k)] w^(r k n / p + q r s)
 *
 * for t < s, q < m, r < p, k < p and w = exp(-2 pi i / n).
 */
function byFactors(n: number, factors: readonly number[]): Plan {
  const [cos, sin] = [new Float64Array(n), new Float64Array(n)];
  for (let k = 0; k < n; k++) [cos[k], sin[k]] = cosSin(-2 * Math.PI * k / n);
  const spare = [new Float64Array(n), new Float64Array(n)] as const;
  return (re, im) => {
    let [from, to]: (readonly [Float64Array, Float64Array])[] = [[re, im], spare];
    let s = 1;
    for (const p of factors) {
      const m = n / (p * s);
      (p === 4 ? passOfFour : pass)(p, m, s, from, to, cos, sin);
      [from, to] = [to, from];
      s *= p;
    }
    if (from[0] !== re) {
      re.set(from[0]);
      im.set(from[1]);
    }
  };
}

type Complex = readonly [Float64Array, Float64Array];

function pass(
  p: number,
  m: number,
  s: number,
  [re, im]: Complex,
  [toRe, toIm]: Complex,
  cos: Float64Array,
  sin: Float64Array,
): void {
  const n = p * m * s;
  for (let q = 0; q < m; q++) {
    for (let r = 0; r < p; r++) {
      const to = s * (p * q + r);
      for (let k = 0; k < p; k++) {
        const at = (r * k * (n / p) + q * r * s) % n;
        const [c, d] = [cos[at], sin[at]];
        const start = s * (q + m * k);
        for (let t = 0; t < s; t++) {
          const [x, y] = [re[start + t], im[start + t]];
          toRe[to + t] = (k === 0 ? 0 : toRe[to + t]) + x * c - y * d;
          toIm[to + t] = (k === 0 ? 0 : toIm[to + t]) + x * d + y * c;
        }
      }
    }
  }
}

function passOfFour(
  _: number,
  m: number,
  s: number,
  [re, im]: Complex,
  [toRe, toIm]: Complex,
  cos: Float64Array,
  sin: Float64Array,
): void {
  for (let q = 0; q < m; q++) {
    const [c1, d1, c2, d2] = [cos[q * s], sin[q * s], cos[2 * q * s], sin[2 * q * s]];
    const [c3, d3] = [cos[3 * q * s], sin[3 * q * s]];
    for (let t = 0; t < s; t++) {
      const i0 = t + s * q, i1 = i0 + s * m, i2 = i1 + s * m, i3 = i2 + s * m;
      const sumRe = re[i0] + re[i2], sumIm = im[i0] + im[i2];
      const gapRe = re[i0] - re[i2], gapIm = im[i0] - im[i2];
      const oddRe = re[i1] + re[i3], oddIm = im[i1] + im[i3];
      // -i times the difference of the odd ones.
      const turnRe = im[i1] - im[i3], turnIm = re[i3] - re[i1];
      const j0 = t + 4 * s * q, j1 = j0 + s, j2 = j1 + s, j3 = j2 + s;
      toRe[j0] = sumRe + oddRe;
      toIm[j0] = sumIm + oddIm;
      toRe[j1] = (gapRe + turnRe) * c1 - (gapIm + turnIm) * d1;
      toIm[j1] = (gapRe + turnRe) * d1 + (gapIm + turnIm) * c1;
      toRe[j2] = (sumRe - oddRe) * c2 - (sumIm - oddIm) * d2;
      toIm[j2] = (sumRe - oddRe) * d2 + (sumIm - oddIm) * c2;
      toRe[j3] = (gapRe - turnRe) * c3 - (gapIm - turnIm) * d3;
      toIm[j3] = (gapRe - turnRe) * d3 + (gapIm - turnIm) * c3;
    }
  }
}

/** j k = (j^2 + k^2 - (k - j)^2) / 2 makes the sum over j a convolution with a chirp. */
function bluestein(n: number): Plan {
  const size = 2 ** Math.ceil(Math.log2(2 * n - 1));
  const plan = byFactors(size, factorsOf(size));
  const [cos, sin] = [new Float64Array(n), new Float64Array(n)];
  const [chirpRe, chirpIm] = [new Float64Array(size), new Float64Array(size)];
  for (let k = 0; k < n; k++) {
    // k^2 modulo 2n stays exact: n is below 2^26, or the buffers would not fit.
    [cos[k], sin[k]] = cosSin(-Math.PI * (k * k % (2 * n)) / n);
    chirpRe[k] = chirpRe[(size - k) % size] = cos[k];
    chirpIm[k] = chirpIm[(size - k) % size] = -sin[k];
  }
  plan(chirpRe, chirpIm);
  const [a, b] = [new Float64Array(size), new Float64Array(size)];
  return (re, im) => {
    a.fill(0);
    b.fill(0);
    for (let k = 0; k < n; k++) {
      a[k] = re[k] * cos[k] - im[k] * sin[k];
      b[k] = re[k] * sin[k] + im[k] * cos[k];
    }
    plan(a, b);
    for (let k = 0; k < size; k++) {
      const x = a[k] * chirpRe[k] - b[k] * chirpIm[k];
      b[k] = a[k] * chirpIm[k] + b[k] * chirpRe[k];
      a[k] = x;
    }
    plan(b, a);
    for (let k = 0; k < n; k++) {
      const [x, y] = [a[k] / size, b[k] / size];
      re[k] = x * cos[k] - y * sin[k];
      im[k] = x * sin[k] + y * cos[k];
    }
  };
}
