/** Mean absolute percentage error. */
import * as tf from "../tensor/tf.ts";
import { abs, elementwise, type ItemRule, lossOf } from "./items.ts";
import type { Loss } from "./loss.ts";

/** Targets this near to zero are left out, in the target's units. */
const ZERO = 5e-5;

/** |p - t| / |t| per cell with |t| > 5e-5. */
export const mapeItems: ItemRule = elementwise(
  (p, t) => abs(tf.div(tf.sub(p, t), t)),
  (t) => tf.greater(tf.abs(t), ZERO),
);

/**
 * Mean absolute percentage error, as a fraction: sum |p - t| / |t| over the cells that count and
 * have |t| > 5e-5, divided by the number of these cells. The count is always a tensor.
 */
export const mape: Loss = lossOf(mapeItems);
