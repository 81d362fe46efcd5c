/** Forecasting, and any other regression: predict `targets` from the rest of the batch. */
import type { Batch } from "../model/model.ts";
import * as tf from "../tensor/tf.ts";
import {
  blankTargets,
  field,
  observedInputs,
  type Task,
  type TaskBatch,
  type TaskContext,
  type TaskOptions,
  unscale,
  validCells,
} from "./task.ts";

/** The forecasting task: an item is a cell of `targets` that `targetsMask` does not rule out. */
export function forecasting(options: TaskOptions = {}): Task {
  const { scaler, rescale = false } = options;
  return {
    name: "forecasting",
    defaults: { loss: "mse", metrics: ["mse", "mae"] },
    preprocess(batch: Batch, { training }: TaskContext): TaskBatch {
      return {
        model: training ? { ...batch } : blankTargets(batch),
        target: field(batch, "targets", "forecasting"),
        mask: batch.targetsMask,
      };
    },
    prepare(batch: Batch): Batch {
      const { inputs } = batch;
      if (inputs === undefined || inputs.dtype !== "float32") return { ...batch };
      return {
        ...batch,
        inputs: tf.where(observedInputs(batch, inputs), inputs, tf.zerosLike(inputs)),
      };
    },
    itemWeight: validCells,
    postprocess(prediction: tf.Tensor, target: tf.Tensor) {
      const by = rescale ? scaler : undefined;
      return { prediction: unscale(prediction, by), target: unscale(target, by) };
    },
    answer: ({ prediction }: Record<string, tf.Tensor>) => ({
      prediction: unscale(prediction, scaler),
    }),
  };
}
