/** Mean squared error. */
import * as tf from "../tensor/tf.ts";
import { elementwise, type ItemRule, lossOf } from "./items.ts";
import type { Loss } from "./loss.ts";

/** (p - t)^2 per cell. */
export const mseItems: ItemRule = elementwise((p, t) => tf.square(tf.sub(p, t)));

/** Mean squared error: sum (p - t)^2 / number of cells that count (torch's `MSELoss`). */
export const mse: Loss = lossOf(mseItems);
