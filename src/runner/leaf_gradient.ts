/** Forward and backward over one leaf of a batch. */
import { ConfigError } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import { toTensors } from "../data/batch.ts";
import type { HostBatch } from "../data/dataset.ts";
import type { Loss, LossResult } from "../loss/loss.ts";
import type { Metric } from "../metric/metric.ts";
import { metricSums as sumsOf } from "../metric/sums.ts";
import type { Model } from "../model/model.ts";
import type { Task } from "../task/task.ts";
import * as tf from "../tensor/tf.ts";
import { forwardPass } from "./forward_pass.ts";
import type { Hooks, OutputValue } from "./hooks.ts";

/** What a forward and backward pass needs. */
export interface PassParts {
  readonly model: Model;
  readonly task: Task;
  readonly loss: Loss;
  /** Metrics of training batches; empty when they are switched off. */
  readonly trainMetrics: readonly Metric[];
  readonly hooks: Hooks;
  /** Called after every leaf: keeps the loop reachable; what it throws ends the pass. */
  breathe(): Promise<void>;
}

/** What a leaf says of its loss; tensors stay on the device. */
export interface LeafGradient {
  /** Of the loss SUM by parameter name; parameters not reached are absent. */
  readonly grads: Record<string, tf.Tensor>;
  readonly lossSum: tf.Tensor;
  /** Items: a number where the loss knows it without looking at values. */
  readonly count: tf.Tensor | number;
  /** The sums of all training metrics, [rows, sums]; undefined when there are none. */
  readonly metricSums: tf.Tensor | undefined;
}

/** The gradient of its loss sum; the update divides by the count as it reads the gradient. */
export function leafGradient(
  parts: PassParts,
  rows: HostBatch,
  iteration: number,
  random: RandomStream,
): LeafGradient {
  const parameters = trainable(parts.model);
  if (Object.keys(parameters).length === 0) {
    throw new ConfigError("model", `has no trainable parameter in iteration ${iteration}`);
  }
  const batch = toTensors(rows);
  let count: tf.Tensor | number = 0, metricSums: tf.Tensor | undefined;
  try {
    const { value: lossSum, grads: byVariable } = tf.variableGrads(() => {
      const { loss, value } = forwardLoss(parts, batch, iteration, random);
      count = typeof loss.count === "number" ? loss.count : tf.keep(tf.clone(loss.count));
      if (parts.trainMetrics.length > 0) {
        metricSums = tf.keep(metricTotals(parts.trainMetrics, parts.task, value));
      }
      return loss.sum;
    }, Object.values(parameters));
    const grads: Record<string, tf.Tensor> = Object.create(null);
    for (const name of Object.keys(parameters)) {
      const gradient = byVariable[parameters[name].name];
      if (gradient !== undefined && gradient !== null) grads[name] = gradient;
    }
    return { grads, lossSum, count, metricSums };
  } catch (error) {
    tf.dispose([count, metricSums] as tf.TensorContainer);
    throw error;
  } finally {
    tf.dispose(batch);
  }
}

/** The variables to train, each once: under its first name where it has several. */
export function trainable({ parameters }: Model): Record<string, tf.Variable> {
  const seen = new Set<tf.Variable>();
  const out: Record<string, tf.Variable> = Object.create(null);
  for (const name of Object.keys(parameters)) {
    const variable = parameters[name];
    if (!variable.trainable || seen.has(variable)) continue;
    seen.add(variable);
    out[name] = variable;
  }
  return out;
}

/** Forward pass, task flow and loss, with the hooks that change values. Runs in the tape. */
function forwardLoss(
  parts: PassParts,
  batch: Record<string, tf.Tensor>,
  iteration: number,
  random: RandomStream,
): { loss: LossResult; value: OutputValue } {
  const { model, task, hooks } = parts;
  const flow = task.preprocess(batch, { training: true, random: random.fork("task") });
  const output = forwardPass(model, flow.model, { training: true, random });
  const context = { iteration, output };
  const value = hooks.change<"output", OutputValue>(
    "output",
    { prediction: output.prediction, target: flow.target, mask: flow.mask },
    (callback, value) => callback.output(value, context),
  );
  const loss = hooks.change(
    "loss",
    lossOf(parts, output, value),
    (callback, loss) => callback.loss(loss, context),
  );
  return { loss, value };
}

/** The model's own mean loss weighted by the task's items, or the config's loss. */
function lossOf(
  parts: PassParts,
  output: Record<string, tf.Tensor>,
  value: OutputValue,
): LossResult {
  if (output.loss === undefined) return parts.loss(value.prediction, value.target, value.mask);
  const count = parts.task.itemWeight(value.target, value.mask);
  const weight = typeof count === "number" ? tf.scalar(count) : count;
  return { sum: tf.mul(tf.reshape(output.loss, []), weight) as tf.Scalar, count };
}

/** The sums of all metrics for each sample of a batch: [rows, sums]. */
function metricTotals(metrics: readonly Metric[], task: Task, value: OutputValue): tf.Tensor {
  const { prediction, target } = task.postprocess(value.prediction, value.target);
  return sumsOf(metrics, prediction, target, value.mask);
}
