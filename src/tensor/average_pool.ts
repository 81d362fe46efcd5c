/**
 * Average pooling with the gradient that it should have.
 *
 * An average is over the inputs inside of the image, and tfjs divides its gradient by the whole
 * window. Its tests ask for that where the padding is a number or explicit, so with these the registry
 * and the chained operation `x.avgPool` keep to it and the operations here have a gradient of their
 * own.
 */
import * as core from "@tensorflow/tfjs-core";

/** Attributes of a pooling. */
interface Pool {
  readonly filterSize: number | number[];
  readonly strides: number | number[];
  readonly pad: "valid" | "same" | number | [number, number][];
  readonly dimRoundingMode?: string;
}

/** Registers gradients that are right with the padding "same", in place of those of tfjs. */
export function registerAveragePoolGradients(): void {
  for (const kernelName of [core.AvgPool, core.AvgPool3D]) {
    core.registerGradient({
      kernelName,
      inputsToSave: ["x"],
      gradFunc: (dy, [x], attributes) => {
        const pool = attributes as unknown as Pool;
        const slope = dy as core.Tensor;
        return {
          x: () => back(kernelName, pool.pad === "same" ? scaled(slope, x, pool) : slope, x, pool),
        };
      },
    });
  }
}

/** `tf.avgPool`, with the right gradient for every padding. */
export const avgPool: typeof core.avgPool = <T extends core.Tensor3D | core.Tensor4D>(
  x: T | core.TensorLike,
  ...rest: Rest<typeof core.avgPool>
): T => trained(core.AvgPool, x, rest, (x) => core.avgPool(x as core.Tensor4D, ...rest)) as T;

/** `tf.avgPool3d`, with the right gradient for every padding. */
export const avgPool3d: typeof core.avgPool3d = <T extends core.Tensor4D | core.Tensor5D>(
  x: T | core.TensorLike,
  ...rest: Rest<typeof core.avgPool3d>
): T => trained(core.AvgPool3D, x, rest, (x) => core.avgPool3d(x as core.Tensor5D, ...rest)) as T;

/** `tf.pool`, with the right gradient for every padding. */
export const pool: typeof core.pool = <T extends core.Tensor3D | core.Tensor4D>(
  input: T | core.TensorLike,
  ...[windowShape, poolingType, pad, ...rest]: Rest<typeof core.pool>
): T => {
  const [dilations = 1, strides = 1, dimRoundingMode] = rest;
  const isDilated = [dilations ?? 1].flat().some((dilation) => dilation !== 1);
  return poolingType === "max" || isDilated
    ? core.pool(input, windowShape, poolingType, pad, ...rest)
    : avgPool(input, windowShape, strides ?? 1, pad === 0 ? "valid" : pad, dimRoundingMode);
};

type Rest<F> = F extends (x: never, ...rest: infer R) => unknown ? R : never;

/** The operation on a tensor with or without a batch, with a gradient of its own if it needs one. */
function trained(
  kernelName: string,
  x: core.Tensor | core.TensorLike,
  [filterSize, strides, pad, dimRoundingMode]:
    | Rest<typeof core.avgPool>
    | Rest<typeof core.avgPool3d>,
  average: (x: core.Tensor) => core.Tensor,
): core.Tensor {
  const input = x instanceof core.Tensor ? x : core.tensor(x);
  if (pad === "valid" || pad === "same") return average(input);
  const attributes = { filterSize, strides, pad, dimRoundingMode } as Pool;
  const averaged = core.customGrad((x, save) => {
    (save as core.GradSaveFunc)([x as core.Tensor]);
    return {
      value: average(x as core.Tensor),
      gradFunc: (dy, [x]) => back(kernelName, scaled(dy, x, attributes), x, attributes),
    };
  });
  const rank = kernelName === core.AvgPool ? 4 : 5;
  return input.rank === rank
    ? averaged(input)
    : core.squeeze(averaged(core.expandDims(input)), [0]);
}

function back(kernelName: string, dy: core.Tensor, input: core.Tensor, pool: Pool): core.Tensor {
  const kernel = kernelName === core.AvgPool ? core.AvgPoolGrad : core.AvgPool3DGrad;
  return core.engine().runKernel(kernel, { dy, input }, { ...pool });
}

/** dy times (the whole window / the window's inputs inside of the image), by which the kernel divides. */
function scaled(dy: core.Tensor, input: core.Tensor, pool: Pool): core.Tensor {
  return input.shape.slice(1, -1).reduce((slope, size, axis) => {
    const [filter, stride] = [pool.filterSize, pool.strides].map((value) =>
      typeof value === "number" ? value : value[axis]
    );
    const out = dy.shape[axis + 1];
    const before = typeof pool.pad === "number"
      ? pool.pad
      : typeof pool.pad === "string"
      ? Math.floor(Math.max(0, (out - 1) * stride + filter - size) / 2)
      : pool.pad[axis + 1][0];
    const factors = Array.from({ length: out }, (_, o) => {
      const first = o * stride - before;
      const inside = Math.min(first + filter, size) - Math.max(first, 0);
      return inside > 0 ? filter / inside : 1;
    });
    if (factors.every((factor) => factor === 1)) return slope;
    return core.mul(slope, core.tensor(factors, dy.shape.map((_, i) => i === axis + 1 ? out : 1)));
  }, dy);
}
