/**
 * The gradient of `FusedBatchNorm`, y = (x - mean) r scale + offset with r = (variance + e)^-1/2.
 *
 * Everything but the input's gradient follows from two sums over the rows, of dy and dy (x - mean).
 */
import * as core from "@tensorflow/tfjs-core";

/** The entry of the gradient registry. */
export const batchNormGradient: core.GradConfig = {
  kernelName: core.FusedBatchNorm,
  inputsToSave: ["x", "mean", "variance", "scale"],
  gradFunc: (dy, saved, attributes) => {
    const [x, mean, variance, scale] = saved;
    const { varianceEpsilon } = attributes as unknown as { varianceEpsilon: number };
    const grad = dy as core.Tensor;
    const r = core.rsqrt(core.add(variance, varianceEpsilon));
    // gradients.ts keeps a thing without data in place of a scale that was left out.
    const factor = scale.dataId === undefined ? r : core.mul(r, scale);
    const total = (t: core.Tensor): core.Tensor =>
      core.reshape(
        core.sum(t, core.broadcast_util.getReductionAxes(mean.shape, x.shape)),
        mean.shape,
      );
    const sum = total(grad);
    const moment = total(core.mul(grad, core.sub(x, mean)));
    return {
      x: () => core.mul(grad, factor),
      mean: () => core.neg(core.mul(factor, sum)),
      variance: () => core.mul(core.mul(core.mul(r, r), factor), core.mul(moment, -0.5)),
      scale: () => core.mul(r, moment),
      offset: () => core.clone(sum),
    };
  },
};
