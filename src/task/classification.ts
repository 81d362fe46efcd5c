/** Classification: predict integer labels from scores. */
import type { Batch } from "../model/model.ts";
import * as tf from "../tensor/tf.ts";
import {
  blankTargets,
  field,
  type Task,
  type TaskBatch,
  type TaskContext,
  validCells,
} from "./task.ts";

/**
 * The classification task: the model's prediction holds scores [..., classes] before softmax, the
 * targets integer labels [...]. A model's own loss weighs by samples, or by the labels that the
 * mask leaves.
 */
export function classification(): Task {
  return {
    name: "classification",
    defaults: { loss: "crossEntropy", metrics: ["accuracy"] },
    preprocess(batch: Batch, { training }: TaskContext): TaskBatch {
      return {
        model: training ? { ...batch } : blankTargets(batch),
        target: field(batch, "targets", "classification"),
        mask: batch.targetsMask,
      };
    },
    prepare: (batch: Batch) => ({ ...batch }),
    itemWeight: (target: tf.Tensor, mask?: tf.Tensor) =>
      mask === undefined ? target.shape[0] ?? 1 : validCells(target, mask),
    postprocess: (prediction: tf.Tensor, target: tf.Tensor) => ({ prediction, target }),
    answer: ({ prediction }: Record<string, tf.Tensor>) => ({
      prediction: tf.argMax(prediction, -1),
      probabilities: tf.softmax(prediction),
    }),
  };
}
