/** `tf.mirrorPad` with the gradient that it should have. */
import * as core from "@tensorflow/tfjs-core";

/**
 * Pads by mirroring, as tfjs' operation, and the gradient of every copy reaches the element that it
 * is a copy of. tfjs' own gradient, which its tests ask for, gives the copies nothing.
 */
export function mirrorPad<T extends core.Tensor>(
  x: T | core.TensorLike,
  paddings: [number, number][],
  mode: "reflect" | "symmetric",
): T {
  const tensor = x instanceof core.Tensor ? x : core.tensor(x);
  return core.customGrad((x) => {
    const { shape } = x as core.Tensor;
    return {
      value: core.mirrorPad(x as core.Tensor, paddings, mode),
      gradFunc: (dy) =>
        paddings.reduce(
          (grad, sides, axis) =>
            sides[0] + sides[1] === 0
              ? grad
              : addAlong(grad, axis, sources(shape[axis], sides, mode), shape[axis]),
          dy as core.Tensor,
        ),
    };
  })(tensor) as T;
}

/** Where each element of a padded axis comes from. */
function sources(size: number, [before, after]: [number, number], mode: string): number[] {
  const edge = mode === "reflect" ? 0 : 1;
  return Array.from({ length: before + size + after }, (_, i) => {
    const at = i - before;
    if (at < 0) return -at - edge;
    return at < size ? at : 2 * (size - 1) - at + edge;
  });
}

/** The slices along `axis`, that at i added to that at ids[i] of `size`. */
function addAlong(x: core.Tensor, axis: number, ids: number[], size: number): core.Tensor {
  const order = [axis, ...x.shape.map((_, other) => other).filter((other) => other !== axis)];
  const back = order.map((_, i) => order.indexOf(i));
  const sums = core.unsortedSegmentSum(
    core.transpose(x, order),
    core.tensor1d(ids, "int32"),
    size,
  );
  return core.transpose(sums, back);
}
