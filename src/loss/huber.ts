/** Huber loss, and torch's other scaling of it. */
import * as tf from "../tensor/tf.ts";
import { abs, elementwise, type ItemRule, lossOf } from "./items.ts";
import type { Loss } from "./loss.ts";
import { maeItems } from "./mae.ts";

/** e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2), per cell. */
export function huberItems(delta: number): ItemRule {
  return elementwise((p, t) => {
    const size = abs(tf.sub(p, t));
    const inner = tf.minimum(size, delta);
    return tf.add(tf.mul(tf.square(inner), 0.5), tf.mul(tf.sub(size, inner), delta));
  });
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
