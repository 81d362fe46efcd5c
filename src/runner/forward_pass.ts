/** Forward passes of models. */
import { ConfigError, show } from "../core/errors.ts";
import type { Batch, ForwardContext, Model } from "../model/model.ts";
import { alias } from "../tensor/alias.ts";
import * as tf from "../tensor/tf.ts";

/**
 * The output of a forward pass by name.
 *
 * @throws {ConfigError} If it assigned something that belongs to all passes, which is put back: any
 * variable outside of training, and parameters always, since one batch is many passes in many places.
 */
export function forwardPass(
  model: Model,
  batch: Batch,
  context: ForwardContext,
): Record<string, tf.Tensor> {
  const { parameters, buffers } = model;
  const variables = Object.entries({ ...parameters, ...context.training ? {} : buffers });
  const before = variables.map(([, variable]) => alias(variable));
  try {
    const output = model.forward(batch, context);
    const assigned = variables.find(([, { dataId }], i) => dataId !== before[i].dataId);
    if (assigned === undefined) {
      return output instanceof tf.Tensor ? { prediction: output } : output;
    }
    throw new ConfigError(
      "model",
      `must assign ${context.training ? "buffers only" : "nothing outside of training"} in its ` +
        `forward pass, and assigned ${show(assigned[0])}`,
    );
  } finally {
    variables.forEach(([, variable], i) => {
      if (variable.dataId !== before[i].dataId) variable.assign(before[i]);
    });
    tf.dispose(before);
  }
}
