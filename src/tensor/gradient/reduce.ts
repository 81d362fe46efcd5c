/**
 * Gradients of sums and means, and of what they are made of.
 *
 * tfjs multiplies with a tensor of ones, which it fills in JavaScript and uploads.
 */
import * as core from "@tensorflow/tfjs-core";

/** The entries of the gradient registry. */
export const reduceGradients: readonly core.GradConfig[] = [
  {
    kernelName: core.Mean,
    inputsToSave: ["x"],
    gradFunc: (dy, saved, attributes) => {
      const [{ shape }] = saved;
      const kept = keptShape(shape, attributes);
      const count = core.util.sizeFromShape(shape) / core.util.sizeFromShape(kept);
      return { x: () => repeated(core.div(dy as core.Tensor, count), kept, shape) };
    },
  },
  {
    kernelName: core.Sum,
    inputsToSave: ["x"],
    gradFunc: (dy, saved, attributes) => {
      const [{ shape }] = saved;
      return { x: () => repeated(dy as core.Tensor, keptShape(shape, attributes), shape) };
    },
  },
  {
    kernelName: core.Tile,
    inputsToSave: ["x"],
    gradFunc: (dy, saved, attributes) => {
      const [{ shape }] = saved;
      const reps = attributes.reps as number[];
      const whole = shape.flatMap((size, axis) => [reps[axis], size]);
      const axes = shape.map((_, axis) => 2 * axis);
      return { x: () => core.sum(core.reshape(dy as core.Tensor, whole), axes) };
    },
  },
];

/** `shape` with a size of 1 where the reduction left none. */
function keptShape(shape: readonly number[], attributes: core.NamedAttrMap): number[] {
  const axes = core.util.parseAxisParam(attributes.axis as number | number[], [...shape]);
  return shape.map((size, axis) => axes.includes(axis) ? 1 : size);
}

/** `x`, of the elements of `kept`, along the axes on which `shape` is larger. */
function repeated(x: core.Tensor, kept: number[], shape: number[]): core.Tensor {
  if (shape.includes(0)) return core.zeros(shape);
  return core.tile(core.reshape(x, kept), shape.map((size, axis) => size / kept[axis]));
}
