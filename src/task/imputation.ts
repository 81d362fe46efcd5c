/**
 * Imputation: hide some of the cells of `inputs` and predict them.
 *
 * Which cells are hidden is drawn from the iteration's random numbers while training; in evaluation
 * it is a function of the sample's position in its split alone, so every evaluation, at any batch
 * size, asks the same question.
 */
import { ConfigError, show } from "../core/errors.ts";
import { type RandomStream, randomStream } from "../core/random.ts";
import type { Batch } from "../model/model.ts";
import * as tf from "../tensor/tf.ts";
import {
  field,
  observedInputs,
  type Task,
  type TaskBatch,
  type TaskContext,
  type TaskOptions,
  unscale,
  validCells,
} from "./task.ts";

/**
 * The imputation task. The model sees `inputs` with hidden and missing cells as 0, and `inputsMask`
 * with 1 where a cell is left; `targets` are the whole inputs while training, zeros outside. Loss
 * and metrics count the cells that are hidden and were observed.
 *
 * @throws {ConfigError} If `ratio` is not in (0, 1).
 */
export function imputation(options: TaskOptions = {}): Task {
  const { scaler, rescale = false, ratio = 0.25 } = options;
  if (!(typeof ratio === "number" && ratio > 0 && ratio < 1)) {
    throw new ConfigError(
      "task.params.ratio",
      `must be a number in (0, 1), received ${show(ratio)}`,
    );
  }
  return {
    name: "imputation",
    defaults: { loss: "mse", metrics: ["mse", "mae"] },
    preprocess(batch: Batch, context: TaskContext): TaskBatch {
      const inputs = field(batch, "inputs", "imputation");
      const observed = observedInputs(batch, inputs);
      const hidden = drawHidden(inputs.shape, ratio, context);
      const mask = tf.cast(tf.logicalAnd(observed, hidden), "float32");
      const visible = tf.logicalAnd(observed, tf.logicalNot(hidden));
      const zeros = tf.zerosLike(inputs);
      const target = tf.where(observed, inputs, zeros);
      const model = {
        ...batch,
        inputs: tf.where(visible, inputs, zeros),
        inputsMask: tf.cast(visible, "float32"),
        targets: context.training ? target : zeros,
        targetsMask: context.training ? mask : zeros,
      };
      return { model, target, mask };
    },
    prepare(batch: Batch): Batch {
      const inputs = field(batch, "inputs", "imputation");
      const observed = observedInputs(batch, inputs);
      return {
        ...batch,
        inputs: tf.where(observed, inputs, tf.zerosLike(inputs)),
        inputsMask: tf.cast(observed, "float32"),
      };
    },
    itemWeight: validCells,
    postprocess(prediction: tf.Tensor, target: tf.Tensor) {
      const by = rescale ? scaler : undefined;
      return { prediction: unscale(prediction, by), target: unscale(target, by) };
    },
    answer({ prediction }: Record<string, tf.Tensor>, batch: Batch) {
      const inputs = field(batch, "inputs", "imputation");
      const filled = tf.where(observedInputs(batch, inputs), inputs, prediction);
      return { prediction: unscale(filled, scaler) };
    },
  };
}

/** The stream that evaluation forks by sample; no part of it depends on the run. */
const evaluationStream: RandomStream = randomStream(0, "imputation");

/** True with probability `ratio`, each cell by itself. */
function drawHidden(shape: readonly number[], ratio: number, context: TaskContext): tf.Tensor {
  const [batch, ...rest] = shape;
  const cells = rest.reduce((a, b) => a * b, 1);
  const draws = new Float32Array(batch * cells);
  if (context.training) context.random.fork("imputation").uniform(draws);
  else {
    const first = context.position ?? 0;
    for (let b = 0; b < batch; b++) {
      evaluationStream.fork(first + b).uniform(draws.subarray(b * cells, (b + 1) * cells));
    }
  }
  return tf.tensor(Uint8Array.from(draws, (u) => u < ratio ? 1 : 0), [...shape], "bool");
}
