/**
 * Two samples of every part go through model, loss and metrics before a run begins, and the training
 * loss is differentiated once, so that a model that does not fit its data, or that its backend cannot
 * train, is one line instead of a stack trace from inside a run directory.
 */
import { ConfigError, suggest } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import { toTensors } from "../data/batch.ts";
import type { DataSplits, HostBatch } from "../data/dataset.ts";
import type { RunParts } from "../runner/parts.ts";
import { AuxiliaryLoss } from "../runner/callbacks/auxiliary_loss.ts";
import { namedOutput, trainable } from "../runner/gradients.ts";
import type { Callback } from "../runner/hooks.ts";
import { isMisfit, misfit } from "../runner/misfit.ts";
import * as tf from "../tensor/tf.ts";
import { variableGrads } from "../tensor/variable_grads.ts";

/** What is tried. */
export type FitParts =
  & Pick<
    RunParts,
    | "model"
    | "task"
    | "loss"
    | "metrics"
    | "horizonMetrics"
    | "callbacks"
    | "loaders"
    | "settings"
  >
  & { readonly data: DataSplits; readonly name: string };

const PARTS = ["train", "validation", "test"] as const;

/**
 * Tries the first samples of each part that the run uses; a stream is left alone. Nothing is kept:
 * buffers that the forward pass assigns are put back.
 *
 * @param training Whether the run will be trained; a backend that lacks gradients can do the rest.
 * @throws {ConfigError} If model, loss or a metric refuses them, with their shapes, or if the loss
 * cannot be differentiated.
 */
export async function checkFit(
  parts: FitParts,
  random: RandomStream,
  training: boolean,
): Promise<void> {
  for (const part of PARTS) {
    const dataset = parts.data[part];
    if (parts.loaders[part] === undefined || dataset === undefined || !("gather" in dataset)) {
      continue;
    }
    const sample = await dataset.gather([0, 1].slice(0, dataset.length));
    let forward = false;
    const tryForward = (): tf.Scalar => {
      const loss = tryPart(parts, part, sample, random);
      forward = true;
      return loss;
    };
    try {
      tf.tidy(() => {
        if (part !== "train" || !training) tryForward();
        else variableGrads(tryForward, Object.values(trainable(parts.model)));
      });
    } catch (error) {
      if (!isMisfit(error) || hasPlace(error)) throw error;
      const what = forward
        ? "cannot be trained"
        : `does not fit the ${part === "train" ? "training" : part} data`;
      throw misfit("model", `${parts.name} ${what}`, error, sample);
    }
  }
}

/** The pass that the run will make on a part; answers its loss. */
function tryPart(
  parts: FitParts,
  part: typeof PARTS[number],
  sample: HostBatch,
  random: RandomStream,
): tf.Scalar {
  const { model, task, settings } = parts;
  const training = part === "train";
  const buffers = Object.values(model.buffers ?? {});
  const before = buffers.map((buffer) => tf.clone(buffer));
  const flow = task.preprocess(toTensors(sample), { training, random });
  let output: Record<string, tf.Tensor>;
  try {
    output = namedOutput(model.forward(flow.model, { training, random }));
  } finally {
    buffers.forEach((buffer, i) => buffer.assign(before[i]));
  }
  const { prediction } = output;
  if (training) {
    for (const callback of parts.callbacks.filter(isAuxiliary)) {
      checkAuxiliary(callback, Object.keys(output), parts.name);
    }
  }
  // A model with a loss of its own trains with that.
  const loss = training && output.loss !== undefined
    ? tf.reshape(output.loss, []) as tf.Scalar
    : parts.loss(prediction, flow.target, flow.mask).sum;
  if (training && !settings.train.metrics) return loss;
  const units = task.postprocess(prediction, flow.target);
  const metrics = part === "test" ? [...parts.metrics, ...parts.horizonMetrics] : parts.metrics;
  for (const metric of metrics) metric.update(units.prediction, units.target, flow.mask);
  return loss;
}

const isAuxiliary = (callback: Callback): callback is AuxiliaryLoss =>
  callback instanceof AuxiliaryLoss;

function checkAuxiliary({ keys, path }: AuxiliaryLoss, outputs: string[], name: string): void {
  const missing = keys.find((key) => !outputs.includes(key));
  if (missing === undefined) return;
  throw new ConfigError(
    `${path}.keys`,
    `${name} has no output '${missing}'${suggest(missing, outputs)}`,
  );
}

/** Errors of `test.horizons` and of callbacks say where they stand. */
function hasPlace(error: Error): boolean {
  return error instanceof ConfigError && /^(test|callbacks)\b/.test(error.path);
}
