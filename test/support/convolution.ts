/** Convolutions in float64, straight from their definition. */
import { strict as assert } from "node:assert";

/** Shapes are [n, d, h, w, c], of the filter [d, h, w, c, o]; the pad is the one before the image. */
export interface Convolution {
  readonly image: readonly number[];
  readonly filter: readonly number[];
  readonly out: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pad: readonly number[];
  /** Each channel of the image has its own `filter[4]` output channels. */
  readonly isDepthwise?: boolean;
}

/** y[n, p, o] = sum over taps and c of x[n, p * strides + tap * dilations - pad, c] w[tap, c, o]. */
export function correlate(
  convolution: Convolution,
  x: ArrayLike<number>,
  w: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(convolution.out.reduce((a, b) => a * b));
  visit(convolution, (atX, atW, atY) => y[atY] += x[atX] * w[atW]);
  return y;
}

/** The gradients of sum(dy * correlate(x, w)). */
export function slopes(
  convolution: Convolution,
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  dy: ArrayLike<number>,
): { image: Float64Array; filter: Float64Array } {
  const image = new Float64Array(x.length);
  const filter = new Float64Array(w.length);
  visit(convolution, (atX, atW, atY) => {
    image[atX] += dy[atY] * w[atW];
    filter[atW] += dy[atY] * x[atX];
  });
  return { image, filter };
}

/** Fails where |actual - exact| > `terms` 2^-24 times the sum of the magnitudes of the terms. */
export function assertRounded(
  actual: ArrayLike<number>,
  exact: ArrayLike<number>,
  magnitudes: ArrayLike<number>,
  terms: number,
  what: string,
): void {
  assert.equal(actual.length, exact.length, `${what}: number of values`);
  for (let i = 0; i < exact.length; i++) {
    const error = Math.abs(actual[i] - exact[i]);
    const bound = terms * 2 ** -24 * magnitudes[i];
    assert.ok(error <= bound, `${what}[${i}] is ${actual[i]}, expected ${exact[i]}`);
  }
}

/** Calls `term` with the offsets in image, filter and output of each product of the sum. */
function visit(
  { image, filter, out, strides, dilations, pad, isDepthwise }: Convolution,
  term: (x: number, w: number, y: number) => void,
): void {
  const [channels, outputs] = filter.slice(3);
  forEachIndex(out.slice(0, 4), (n, ...position) =>
    forEachIndex(filter.slice(0, 3), (...tap) => {
      const at = position.map((p, i) => p * strides[i] + tap[i] * dilations[i] - pad[i]);
      if (at.some((p, i) => p < 0 || p >= image[i + 1])) return;
      const offset = (index: number[], shape: readonly number[]): number =>
        index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
      const x = offset([n, ...at], image) * channels;
      const w = offset(tap, filter) * channels * outputs;
      const y = offset([n, ...position], out) * out[4];
      for (let c = 0; c < channels; c++) {
        for (let o = 0; o < outputs; o++) {
          term(x + c, w + c * outputs + o, y + (isDepthwise ? c * outputs + o : o));
        }
      }
    }));
}

function forEachIndex(shape: readonly number[], use: (...index: number[]) => void): void {
  const walk = (index: number[]): void => {
    if (index.length === shape.length) return use(...index);
    for (let i = 0; i < shape[index.length]; i++) walk([...index, i]);
  };
  walk([]);
}
