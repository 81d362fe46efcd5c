/**
 * `tf.batchNorm` with statistics along any axes.
 *
 * tfjs' cpu and wasm kernels take the elements of mean and variance in turn, which is right only where
 * their shape is that of the last axes: with channels first they normalize by another channel's.
 */
import * as core from "@tensorflow/tfjs-core";

type Vector = core.Tensor | core.Tensor1D | core.TensorLike;

/** `tf.batchNorm`, also with a mean of shape [1, c, 1, 1] for x of shape [n, c, h, w]. */
export const batchNorm: typeof core.batchNorm = <R extends core.Rank>(
  x: core.Tensor<R> | core.TensorLike,
  mean: Vector,
  variance: Vector,
  offset?: Vector,
  scale?: Vector,
  epsilon = 1e-3,
): core.Tensor<R> => {
  const input = tensorOf(x);
  const statistics = [mean, variance, offset, scale].map((t) =>
    t == null ? undefined : tensorOf(t)
  );
  const isLast = statistics.every((t) => t === undefined || isTrailing(t.shape, input.shape));
  const [m, v, o, s] = statistics as core.Tensor1D[];
  if (isLast) return core.batchNorm(input, m, v, o, s, epsilon) as core.Tensor<R>;
  const centered = core.mul(core.sub(input, m), core.rsqrt(core.add(v, epsilon)));
  const scaled = s === undefined ? centered : core.mul(centered, s);
  return (o === undefined ? scaled : core.add(scaled, o)) as core.Tensor<R>;
};

/** `tf.batchNorm2d`, see batchNorm. */
export const batchNorm2d: typeof core.batchNorm2d = batchNorm as typeof core.batchNorm2d;

/** `tf.batchNorm3d`, see batchNorm. */
export const batchNorm3d: typeof core.batchNorm3d = batchNorm as typeof core.batchNorm3d;

/** `tf.batchNorm4d`, see batchNorm. */
export const batchNorm4d: typeof core.batchNorm4d = batchNorm as typeof core.batchNorm4d;

function tensorOf(x: core.Tensor | core.TensorLike): core.Tensor {
  return x instanceof core.Tensor ? x : core.tensor(x);
}

/** Whether `shape`, without leading ones, is the end of `whole`. */
function isTrailing(shape: readonly number[], whole: readonly number[]): boolean {
  const first = shape.findIndex((size) => size !== 1);
  const end = first < 0 ? [] : shape.slice(first);
  return end.every((size, i) => size === whole[whole.length - end.length + i]);
}
