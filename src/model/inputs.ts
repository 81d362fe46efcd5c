/** Checks of a batch's fields, so that a wrong shape is one line instead of a failing kernel. */
import { ConfigError, show } from "../core/errors.ts";
import type * as tf from "../tensor/tf.ts";
import type { Batch } from "./model.ts";

/** The field `inputs` of shape [batch, ...sizes]; a size of -1 accepts any. */
export function inputsOf(batch: Batch, sizes: readonly number[], model: string): tf.Tensor {
  const { inputs } = batch;
  if (inputs === undefined) {
    throw new ConfigError(
      "",
      `${model}: the batch needs a field 'inputs', received ${show(Object.keys(batch))}`,
    );
  }
  const fits = inputs.rank === sizes.length + 1 &&
    sizes.every((size, i) => size === -1 || inputs.shape[i + 1] === size);
  if (!fits) {
    const wanted = ["batch", ...sizes.map((size) => size === -1 ? "any" : String(size))].join(", ");
    throw new ConfigError(
      "",
      `${model}: inputs must be [${wanted}], received shape ${show(inputs.shape)}`,
    );
  }
  return inputs;
}
