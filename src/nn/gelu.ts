import * as tf from "../tensor/tf.ts";
import { differentiable, isFused, runKernel } from "./fused.ts";

/**
 * Gaussian error linear unit, exact form: x (1 + erf(x / sqrt 2)) / 2 (Hendrycks and Gimpel 2016).
 *
 * The backends' erf is good to about 1.5e-7 absolute.
 */
export function gelu(x: tf.Tensor): tf.Tensor {
  if (isFused("DownhillGelu", x)) {
    return differentiable(
      [x],
      () => [...runKernel("DownhillGelu", { x }), x],
      (dy, x) => runKernel("DownhillGeluGrad", { x, dy }),
    );
  }
  const half = tf.mul(x, 0.5);
  return tf.add(half, tf.mul(half, tf.erf(tf.mul(x, Math.SQRT1_2))));
}
