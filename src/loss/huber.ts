/** Huber loss, and torch's other scaling of it. */
import * as tf from "../tensor/tf.ts";
import { elementwise, type ItemRule, lossOf } from "./items.ts";
import type { Loss } from "./loss.ts";
import { maeItems } from "./mae.ts";

/** e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2), per cell. */
export function huberItems(delta: number): ItemRule {
  return elementwise((p, t) =>
    tf.customGrad((e, save) => {
      const error = e as tf.Tensor;
      (save as tf.GradSaveFunc)([error]);
      // With q = min(|e|, delta) both branches are q (|e| - q / 2), and the gradient is e clipped.
      const size = tf.abs(error);
      const q = tf.minimum(size, delta);
      return {
        value: tf.mul(q, tf.sub(size, tf.mul(q, 0.5))),
        gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) =>
          tf.mul(dy, tf.clipByValue(saved[0], -delta, delta)),
      };
    })(tf.sub(p, t))
  );
}

/** The items of {@link huberItems} divided by beta; |e| when beta is 0. */
export function smoothL1Items(beta: number): ItemRule {
  if (beta === 0) return maeItems;
  const rule = huberItems(beta);
  return (prediction, target, mask) => {
    const { values, weights } = rule(prediction, target, mask);
    return { values: tf.div(values, beta), weights };
  };
}

/**
 * Huber loss (torch's `HuberLoss`), e = p - t:
 *
 *     |e| <= delta   e^2 / 2
 *     |e| >  delta   delta (|e| - delta / 2)
 *
 * summed over the cells that count and divided by their number.
 */
export function huber(options: { readonly delta?: number } = {}): Loss {
  return lossOf(huberItems(options.delta ?? 1));
}

/** Smooth L1 (torch's `SmoothL1Loss`): huber(delta = beta) / beta, and |e| when beta is 0. */
export function smoothL1(options: { readonly beta?: number } = {}): Loss {
  return lossOf(smoothL1Items(options.beta ?? 1));
}
