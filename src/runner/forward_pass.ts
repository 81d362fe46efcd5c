/** Forward passes of models. */
import { ConfigError, show } from "../core/errors.ts";
import type { Batch, ForwardContext, Model } from "../model/model.ts";
import * as tf from "../tensor/tf.ts";

/**
 * The output of a forward pass by name.
 *
 * @throws {ConfigError} If it assigned something that belongs to all passes: any variable outside of
 * training, and parameters always, since one batch is many passes in many places.
 */
export function forwardPass(
  model: Model,
  batch: Batch,
  context: ForwardContext,
): Record<string, tf.Tensor> {
  const { parameters, buffers } = model;
  const variables = Object.entries({ ...parameters, ...context.training ? {} : buffers });
  const before = variables.map(([, { dataId }]) => dataId);
  const output = model.forward(batch, context);
  const assigned = variables.find(([, { dataId }], i) => dataId !== before[i]);
  if (assigned !== undefined) {
    throw new ConfigError(
      "model",
      `must assign ${context.training ? "buffers only" : "nothing outside of training"} in its ` +
        `forward pass, and assigned ${show(assigned[0])}`,
    );
  }
  return output instanceof tf.Tensor ? { prediction: output } : output;
}
