/** Mean absolute error. */
import * as tf from "../tensor/tf.ts";
import { abs, elementwise, type ItemRule, lossOf } from "./items.ts";
import type { Loss } from "./loss.ts";

/** |p - t| per cell. */
export const maeItems: ItemRule = elementwise((p, t) => abs(tf.sub(p, t)));

/**
 * Mean absolute error: sum |p - t| / number of cells that count.
 *
 * The gradient is sign(p - t), 0 where both are equal (torch's `L1Loss`).
 */
export const mae: Loss = lossOf(maeItems);
