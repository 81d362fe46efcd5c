/** Adds named outputs of the forward pass to the loss. */
import { ConfigError, suggest } from "../../core/errors.ts";
import { either, list, number, object, parseOptions, text, type z } from "../../core/options.ts";
import type { LossResult } from "../../loss/loss.ts";
import * as tf from "../../tensor/tf.ts";
import type { Callback, TapeContext } from "../hooks.ts";

/** Options of {@link AuxiliaryLoss}. */
export const auxiliaryLossOptions: z.ZodObject = object({
  keys: list(text(), "must be an array of output names").min(1, {
    error: "must name at least one output",
  }).default(["aux_loss"]),
  weight: either("must be a number or an array of numbers, one a key", number(), list(number()))
    .default(1),
});

/**
 * mean loss += sum over keys of weight * mean(output[key]).
 *
 * Micro-batches and shards are weighted by the items that their loss counts. So they give the
 * numbers of one batch where samples count alike; with masked cells the weights follow the mask.
 */
export class AuxiliaryLoss implements Callback {
  readonly name = "AuxiliaryLoss";
  /** The outputs that are added. */
  readonly keys: readonly string[];
  /** Where the options stand in the config. */
  readonly path: string;
  readonly #weights: number[];

  constructor(params: Record<string, unknown> = {}, path = "callbacks.AuxiliaryLoss") {
    const { keys, weight } = parseOptions(auxiliaryLossOptions, params, path, "AuxiliaryLoss") as {
      keys: string[];
      weight: number | number[];
    };
    this.keys = keys;
    this.path = path;
    this.#weights = Array.isArray(weight) ? weight : keys.map(() => weight);
    if (this.#weights.length !== keys.length) {
      throw new ConfigError(
        `${path}.weight`,
        `must have one number a key (${keys.length}), received ${this.#weights.length}`,
      );
    }
  }

  loss({ sum, count }: LossResult, { output }: TapeContext): LossResult {
    let total: tf.Tensor = sum;
    this.keys.forEach((key, i) => {
      if (output[key] === undefined) {
        throw new ConfigError(
          `${this.path}.keys`,
          `the model has no output '${key}'${suggest(key, Object.keys(output))}`,
        );
      }
      total = tf.add(total, tf.mul(tf.mul(tf.mean(output[key]), this.#weights[i]), count));
    });
    return { sum: total as tf.Scalar, count };
  }
}
