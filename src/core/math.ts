/**
 * Elementary functions with the same bits in every runtime.
 *
 * `Math.exp`, `log`, `sin`, `cos`, `pow` and `tanh` differ between JavaScript engines in the last
 * place; only +, -, *, / and sqrt are fixed by IEEE 754. What reaches a weight or a learning rate
 * uses these instead. The argument reductions and polynomials are those of FreeBSD's msun (fdlibm,
 * Sun Microsystems 1993); errors are below 1 ulp, for cos and sin up to |x| about 1e6.
 */

const LN2_HI = 6.93147180369123816490e-01;
const LN2_LO = 1.90821492927058770002e-10;
const INV_LN2 = 1.44269504088896338700;

const view = new DataView(new ArrayBuffer(8));

/** x * 2^n for results in the normal and subnormal range. */
function scale(x: number, n: number): number {
  while (n > 1023) x *= 2 ** 1023, n -= 1023;
  while (n < -1022) x *= 2 ** -1022, n += 1022;
  view.setUint32(0, (n + 1023) << 20);
  view.setUint32(4, 0);
  return x * view.getFloat64(0);
}

/** e^x. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.782712893384) return Infinity;
  if (x < -745.1332191019411) return 0;
  let hi = x, lo = 0, k = 0;
  if (Math.abs(x) > 0.34657359027997264) {
    k = Math.abs(x) < 1.0397207708399179
      ? (x < 0 ? -1 : 1)
      : Math.trunc(INV_LN2 * x + (x < 0 ? -0.5 : 0.5));
    hi = x - k * LN2_HI;
    lo = k * LN2_LO;
  } else if (Math.abs(x) < 2 ** -28) {
    return 1 + x;
  }
  const r = hi - lo;
  const t = r * r;
  const c = r - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 +
            t *
              (6.61375632143793436117e-05 +
                t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
  if (k === 0) return 1 - ((r * c) / (c - 2) - r);
  return scale(1 - ((lo - (r * c) / (2 - c)) - hi), k);
}

/** The natural logarithm of x. */
export function log(x: number): number {
  if (Number.isNaN(x) || x < 0) return NaN;
  if (x === 0) return -Infinity;
  if (x === Infinity) return x;
  let k = 0;
  if (x < 2.2250738585072014e-308) x *= 2 ** 54, k -= 54;
  view.setFloat64(0, x);
  const high = view.getUint32(0);
  const fraction = high & 0xfffff;
  const i = (fraction + 0x95f64) & 0x100000;
  k += (high >>> 20) - 1023 + (i >>> 20);
  view.setUint32(0, fraction | (i ^ 0x3ff00000));
  const f = view.getFloat64(0) - 1;
  if (f === 0) return k * LN2_HI + k * LN2_LO;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const r =
    w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01)) +
    z *
      (6.666666666666735130e-01 +
        w *
          (2.857142874366239149e-01 +
            w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  const half = 0.5 * f * f;
  return k * LN2_HI - ((half - (s * (half + r) + k * LN2_LO)) - f);
}

/** [cos x, sin x]. */
export function cosSin(x: number): [number, number] {
  if (!Number.isFinite(x)) return [NaN, NaN];
  const n = Math.round(x * 0.6366197723675814);
  // x - n * pi/2 in three words, so that the remainder stays exact near multiples of pi/2.
  const first = x - n * 1.57079632673412561417;
  const second = n * 6.07710050630396597660e-11;
  const r = first - second;
  const w = n * 2.02226624879595063154e-21 - ((first - r) - second);
  const t = r - w;
  const tail = (r - t) - w;
  const cos = cosKernel(t, tail);
  const sin = sinKernel(t, tail);
  switch (((n % 4) + 4) % 4) {
    case 0:
      return [cos, sin];
    case 1:
      return [-sin, cos];
    case 2:
      return [-cos, -sin];
    default:
      return [sin, -cos];
  }
}

/** cos x. */
export function cos(x: number): number {
  return cosSin(x)[0];
}

/** sin x. */
export function sin(x: number): number {
  return cosSin(x)[1];
}

function cosKernel(x: number, tail: number): number {
  const z = x * x;
  const r = z *
    (4.16666666666666019037e-02 +
      z * (-1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 +
              z *
                (-2.75573143513906633035e-07 +
                  z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  const half = 0.5 * z;
  const w = 1 - half;
  return w + (((1 - w) - half) + (z * r - x * tail));
}

function sinKernel(x: number, tail: number): number {
  const z = x * x;
  const v = z * x;
  const r = 8.33333333332248946124e-03 +
    z * (-1.98412698298579493134e-04 + z * (2.75573137070700676789e-06 +
            z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)));
  return x - ((z * (0.5 * tail - v * r) - tail) - v * -1.66666666666666324348e-01);
}

/** tanh x, within a few ulp. */
export function tanh(x: number): number {
  const a = Math.abs(x);
  if (a < 1e-4) return x - x * x * x / 3;
  if (a > 22) return Math.sign(x);
  const e = exp(2 * a);
  return Math.sign(x) * (1 - 2 / (e + 1));
}

/** x^n for an integer n, by repeated squaring. */
export function powInt(x: number, n: number): number {
  let result = 1;
  let square = x;
  for (let e = Math.abs(n); e > 0; e = Math.floor(e / 2)) {
    if (e % 2 === 1) result *= square;
    square *= square;
  }
  return n < 0 ? 1 / result : result;
}

/** x^y: exact products for integer y, else e^(y log x), whose relative error is about |y log x| ulp. */
export function pow(x: number, y: number): number {
  if (Number.isInteger(y) && Math.abs(y) <= 2 ** 31) return powInt(x, y);
  if (y === 0.5) return Math.sqrt(x);
  return x === 0 ? (y > 0 ? 0 : Infinity) : exp(y * log(x));
}
