import * as tf from "../tensor/tf.ts";
import { isFused, runKernel } from "./fused.ts";

/**
 * y = x W + b over the last axis.
 *
 * `weight` is [in, out] (the transpose of torch's), so that the forward product reads it as it lies.
 *
 * @param x [..., in], any rank >= 1.
 * @param bias [out].
 * @returns [..., out].
 */
export function linear(x: tf.Tensor, weight: tf.Tensor, bias?: tf.Tensor): tf.Tensor {
  const [inputs, outputs] = weight.shape;
  const isPlain = weight.rank === 2 && x.shape[x.rank - 1] === inputs &&
    (bias === undefined || (bias.rank === 1 && bias.shape[0] === outputs));
  if (isPlain && isFused(KERNEL, x, weight, bias)) return runKernel(KERNEL, { x, weight, bias })[0];
  const rows: tf.Tensor = x.rank === 2 ? x : tf.reshape(x, [-1, inputs]);
  const product = tf.matMul(rows, weight);
  const y = bias === undefined ? product : tf.add(product, bias);
  return x.rank === 2 ? y : tf.reshape(y, [...x.shape.slice(0, -1), outputs]);
}

const KERNEL = "DownhillLinear";

// The input's gradient alone is not asked for where the input is data.
tf.registerGradient({
  kernelName: KERNEL,
  inputsToSave: ["x", "weight"],
  gradFunc: (dy, [x, weight]) => {
    const d = dy as tf.Tensor;
    return {
      x: () => runKernel("DownhillLinearInputGrad", { dy: d, weight })[0],
      weight: () => runKernel("DownhillLinearWeightGrad", { x, dy: d })[0],
      bias: () => runKernel("DownhillLinearBiasGrad", { dy: d })[0],
    };
  },
});
