/**
 * `broadcastTo` and `where` with sizes of 0: tfjs' own leave a size of 1 where 0 is asked for, and then
 * answer another shape than is meant, or none.
 */
import * as core from "@tensorflow/tfjs-core";

/** `x` repeated along axes of size 1 (and new leading ones) to `shape`, which may have sizes of 0. */
export function broadcastTo<R extends core.Rank>(
  x: core.Tensor | core.TensorLike,
  shape: core.ShapeMap[R],
): core.Tensor<R> {
  if (!shape.includes(0)) return core.broadcastTo(x, shape);
  return core.tidy(() => {
    const given = x instanceof core.Tensor ? x : core.tensor(x);
    const ones = new Array<number>(Math.max(0, shape.length - given.rank)).fill(1);
    const whole = core.reshape(given, [...ones, ...given.shape]);
    const isFitting = whole.rank === shape.length &&
      whole.shape.every((size, i) => size === 1 || size === shape[i]);
    if (!isFitting) {
      throw new Error(`broadcastTo(): [${given.shape}] cannot be broadcast to [${shape}].`);
    }
    const sizes = whole.shape.map((size, i) => shape[i] === 0 ? 0 : size);
    return core.reshape(core.slice(whole, sizes.map(() => 0), sizes), shape);
  });
}

/** `a` where `condition` holds, else `b`; all three broadcast to one shape. */
export function where<T extends core.Tensor>(
  condition: core.Tensor | core.TensorLike,
  a: T | core.TensorLike,
  b: T | core.TensorLike,
): T {
  return core.tidy(() => {
    const test = condition instanceof core.Tensor
      ? condition
      : core.tensor(condition, undefined, "bool");
    const all = [test, ...[a, b].map((x) => x instanceof core.Tensor ? x : core.tensor(x))];
    const shape = all.map((x) => x.shape).reduce((one, other) =>
      core.broadcast_util.assertAndGetBroadcastShape(one, other)
    );
    const [c, t, e] = shape.includes(0) ? all.map((x) => broadcastTo(x, shape)) : all;
    return core.where(c, t, e) as T;
  });
}
