/**
 * Fourier transforms of real signals that can be differentiated.
 *
 * tfjs has `tf.spectral.rfft`, whose result is complex, and its tape takes no complex gradients:
 * here spectra are pairs of real tensors.
 */
import * as tf from "../tensor/tf.ts";

/** The real and imaginary parts of a spectrum, each [..., floor(n / 2) + 1]. */
export interface Spectrum {
  readonly real: tf.Tensor;
  readonly imag: tf.Tensor;
}

/**
 * The spectrum of real signals along the last axis, as `torch.fft.rfft`.
 *
 *     real[k] + i imag[k] = sum over j of x[j] exp(-2 pi i j k / n),   k = 0 .. floor(n / 2)
 *
 * O(n log n) for any n on wasm; powers of two elsewhere.
 *
 * @param x [..., n] float32.
 */
export function rfft(x: tf.Tensor): Spectrum {
  const [real, imag] = tf.unstack(forward(x, "rfft"));
  return { real, imag };
}

/**
 * The signals of length n that have these spectra, as `torch.fft.irfft`: the inverse of `rfft`. The
 * imaginary parts at k = 0, and at n / 2 for an even n, count as zero.
 *
 * @param n Length of the signals; default 2 (m - 1) for spectra of m numbers.
 * @throws {RangeError} If spectra of that length do not have m numbers.
 */
export function irfft({ real, imag }: Spectrum, n?: number): tf.Tensor {
  const m = real.shape[real.rank - 1];
  const length = n ?? 2 * (m - 1);
  if (Math.floor(length / 2) + 1 !== m) {
    throw new RangeError(
      `irfft: signals of length n have floor(n / 2) + 1 = ${m} frequencies, received n = ${length}`,
    );
  }
  tf.util.assertShapesMatch(real.shape, imag.shape, "irfft: real and imag: ");
  return inverse(tf.mul(tf.stack([real, imag]), weights(length)), length);
}

/** 1 / n and, for frequencies that stand for their negative too, 2 / n. */
function weights(n: number): tf.Tensor {
  const m = Math.floor(n / 2) + 1;
  return tf.tensor1d(Array.from({ length: m }, (_, k) => (k === 0 || 2 * k === n ? 1 : 2) / n));
}

/** [2, ..., m] from [..., n]; its transposed map is `inverse`. */
function forward(x: tf.Tensor, name: string): tf.Tensor {
  if (x.rank === 0) throw new RangeError(`${name} takes signals along an axis, received a scalar`);
  const n = x.shape[x.rank - 1];
  return tf.customGrad((x) => {
    const spectrum = tf.spectral.rfft(x as tf.Tensor);
    return {
      value: tf.stack([tf.real(spectrum), tf.imag(spectrum)]),
      gradFunc: (dy) => inverse(dy as tf.Tensor, n),
    };
  })(x);
}

/** x[j] = sum over k of real[k] cos(2 pi j k / n) - imag[k] sin(2 pi j k / n). */
function inverse(spectrum: tf.Tensor, n: number): tf.Tensor {
  return tf.customGrad((spectrum) => {
    const whole = spectrum as tf.Tensor;
    const shape = whole.shape.slice(1);
    const m = shape.pop()!;
    const paddings = whole.shape.map((_, axis): [number, number] =>
      axis === whole.rank - 1 ? [0, n - m] : [0, 0]
    );
    const [real, imag] = tf.unstack(tf.pad(whole, paddings)).map((part) =>
      tf.reshape(part, [-1, n])
    );
    const sums = tf.mul(tf.real(tf.spectral.ifft(tf.complex(real, imag))), n);
    return {
      value: tf.reshape(sums, [...shape, n]),
      gradFunc: (dy) => forward(dy as tf.Tensor, "irfft"),
    };
  })(spectrum);
}
