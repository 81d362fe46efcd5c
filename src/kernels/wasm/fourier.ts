/**
 * Discrete Fourier transforms of any length in O(n log n), in double precision.
 *
 * Lengths that are powers of two are a radix-2 decimation in time; others become a convolution of
 * such a length (Bluestein, 1970). With sines from core/math.ts every runtime gives the same bits,
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

function planOf(n: number): Plan {
  return (n & (n - 1)) === 0 ? radix2(n) : bluestein(n);
}

function radix2(n: number): Plan {
  const half = n >> 1;
  const [cos, sin] = [new Float64Array(half), new Float64Array(half)];
  for (let k = 0; k < half; k++) [cos[k], sin[k]] = cosSin(-2 * Math.PI * k / n);
  const reversed = new Uint32Array(n);
  for (let i = 1; i < n; i++) reversed[i] = reversed[i >> 1] >> 1 | (i & 1 ? half : 0);
  return (re, im) => {
    for (let i = 0; i < n; i++) {
      const j = reversed[i];
      if (j <= i) continue;
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
    for (let size = 1; size < n; size *= 2) {
      const step = half / size;
      for (let start = 0; start < n; start += 2 * size) {
        for (let i = start, k = 0; i < start + size; i++, k += step) {
          const j = i + size;
          const x = re[j] * cos[k] - im[j] * sin[k];
          const y = re[j] * sin[k] + im[j] * cos[k];
          re[j] = re[i] - x;
          im[j] = im[i] - y;
          re[i] += x;
          im[i] += y;
        }
      }
    }
  };
}

/** j k = (j^2 + k^2 - (k - j)^2) / 2 makes the sum over j a convolution with a chirp. */
function bluestein(n: number): Plan {
  const size = 2 ** Math.ceil(Math.log2(2 * n - 1));
  const plan = radix2(size);
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
