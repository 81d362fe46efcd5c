/** Gradients of running sums and products. */
import * as core from "@tensorflow/tfjs-core";

interface Attributes {
  readonly axis: number;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

/** The entries of the gradient registry. */
export const scanGradients: readonly core.GradConfig[] = [
  {
    kernelName: core.Cumsum,
    gradFunc: (dy, _saved, attributes) => {
      const { axis, exclusive, reverse } = attributes as unknown as Attributes;
      return { x: () => core.cumsum(dy as core.Tensor, axis, exclusive, !reverse) };
    },
  },
  {
    kernelName: core.Cumprod,
    inputsToSave: ["x"],
    gradFunc: (dy, saved, attributes) => {
      const a = attributes as unknown as Attributes;
      const [axis] = core.util.parseAxisParam(a.axis, saved[0].shape);
      const turn = (t: core.Tensor): core.Tensor => a.reverse ? core.reverse(t, axis) : t;
      return {
        x: () => turn(cumprodGradient(turn(saved[0]), turn(dy as core.Tensor), axis, a.exclusive)),
      };
    },
  },
];

/**
 * With p[i] the product of x before i,
 *
 *     dx[i] = p[i] s[i],   s[i] = dy[i] + x[i + 1] s[i + 1]            (exclusive: s[i + 1] without
 *                                                                      the factor x[i + 1] inside)
 *
 * The recurrence is composed by doubling, in log2 n steps of whole tensors. Nothing is divided, so
 * zeros in x are no exception.
 */
function cumprodGradient(
  x: core.Tensor,
  dy: core.Tensor,
  axis: number,
  isExclusive: boolean,
): core.Tensor {
  const n = x.shape[axis];
  // t[i + distance], zero past the end.
  const shift = (t: core.Tensor, distance: number): core.Tensor => {
    const begin = t.shape.map((_, d) => d === axis ? distance : 0);
    const size = t.shape.map((length, d) => d === axis ? length - distance : length);
    const paddings = t.shape.map((_, d): [number, number] => [0, d === axis ? distance : 0]);
    return core.pad(core.slice(t, begin, size), paddings);
  };
  // s[i] = sums[i] + factors[i] s[i + distance]
  let factors = isExclusive ? x : n > 1 ? shift(x, 1) : core.zerosLike(x);
  let sums = dy;
  for (let distance = 1; distance < n; distance *= 2) {
    sums = core.add(sums, core.mul(factors, shift(sums, distance)));
    factors = core.mul(factors, shift(factors, distance));
  }
  if (isExclusive) sums = n > 1 ? shift(sums, 1) : core.zerosLike(x);
  return core.mul(core.cumprod(x, axis, true), sums);
}
