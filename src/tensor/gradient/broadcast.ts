/**
 * tfjs' own gradients of kernels that broadcast, summed over the axes along which they did.
 *
 * tfjs leaves that out for Maximum, Minimum, SquaredDifference and the batch axes of BatchMatMul, and
 * the others fail where an axis of size 1 meets one of size 0. Prod fails for axes counted from the
 * end.
 */
import * as core from "@tensorflow/tfjs-core";

const BROADCAST = [
  ...[core.Add, core.Atan2, core.BatchMatMul, core.Maximum, core.Minimum, core.Mod, core.Multiply],
  ...[core.Pow, core.Prelu, core.RealDiv, core.SquaredDifference, core.Sub],
];

const WRAPPED = Symbol.for("downhill.broadcast");

/** The entries of the gradient registry, once tfjs-layers has filled it. */
export function broadcastGradients(): core.GradConfig[] {
  const axes = wrapped(core.Prod, (gradient, dy, saved, attributes) => {
    const axis = core.util.parseAxisParam(
      attributes.axis as unknown as number | number[],
      saved[0].shape,
    );
    return gradient(dy, saved, { ...attributes, axis });
  });
  return [
    ...BROADCAST.map((kernelName) =>
      wrapped(kernelName, (gradient, dy, saved, attributes) => {
        const gradients = gradient(dy, saved, attributes);
        return Object.fromEntries(
          Object.entries(gradients).map(([name, make], i) => {
            const { shape } = saved[i];
            const isEmpty = (dy as core.Tensor).size === 0;
            return [name, () => isEmpty ? core.zeros(shape) : summed(make(), shape)];
          }),
        );
      })
    ),
    axes,
  ];
}

function wrapped(
  kernelName: string,
  gradient: (
    theirs: core.GradFunc,
    ...rest: Parameters<core.GradFunc>
  ) => ReturnType<core.GradFunc>,
): core.GradConfig {
  const config = core.getGradient(kernelName);
  const { gradFunc } = config;
  if (WRAPPED in gradFunc) return config;
  const ours: core.GradFunc = (...rest) => gradient(gradFunc, ...rest);
  return { ...config, gradFunc: Object.assign(ours, { [WRAPPED]: true }) };
}

/** The sum over the axes that `shape` lacks or has with size 1. */
function summed(x: core.Tensor, shape: number[]): core.Tensor {
  if (core.util.arraysEqual(x.shape, shape)) return x;
  const axes = core.broadcast_util.getReductionAxes(shape, x.shape);
  return core.reshape(core.sum(x, axes), shape);
}
