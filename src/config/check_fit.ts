/**
 * Two samples of every part go through model, loss and metrics before a run begins, so that a model
 * that does not fit its data is one line instead of a stack trace from inside a run directory.
 */
import { ConfigError, suggest } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import { toTensors } from "../data/batch.ts";
import type { DataSplits, HostBatch } from "../data/dataset.ts";
import type { RunParts } from "../runner/base_iteration_runner.ts";
import { AuxiliaryLoss } from "../runner/callbacks/auxiliary_loss.ts";
import { namedOutput } from "../runner/gradients.ts";
import type { Callback } from "../runner/hooks.ts";
import { isMisfit, misfit } from "../runner/misfit.ts";
import * as tf from "../tensor/tf.ts";

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
 * @throws {ConfigError} If model, loss or a metric refuses them, with their shapes.
 */
export async function checkFit(parts: FitParts, random: RandomStream): Promise<void> {
  for (const part of PARTS) {
    const dataset = parts.data[part];
    if (parts.loaders[part] === undefined || dataset === undefined || !("gather" in dataset)) {
      continue;
    }
    const sample = await dataset.gather([0, 1].slice(0, dataset.length));
    try {
      tf.tidy(() => tryPart(parts, part, sample, random));
    } catch (error) {
      if (!isMisfit(error) || hasPlace(error)) throw error;
      const which = part === "train" ? "training" : part;
      throw misfit("model", `${parts.name} does not fit the ${which} data`, error, sample);
    }
  }
}

function tryPart(
  parts: FitParts,
  part: typeof PARTS[number],
  sample: HostBatch,
  random: RandomStream,
): void {
  const { model, task, settings } = parts;
  const auxiliary = part === "train" ? parts.callbacks.filter(isAuxiliary) : [];
  // A pass as in evaluation changes nothing in the model; some outputs exist only while training.
  const training = auxiliary.length > 0;
  const buffers = training ? Object.values(model.buffers ?? {}) : [];
  const before = buffers.map((buffer) => tf.clone(buffer));
  const flow = task.preprocess(toTensors(sample), { training, random });
  const output = namedOutput(model.forward(flow.model, { training, random }));
  buffers.forEach((buffer, i) => buffer.assign(before[i]));
  for (const callback of auxiliary) checkAuxiliary(callback, Object.keys(output), parts.name);
  const { prediction } = output;
  // A model with a loss of its own trains with that.
  if (part !== "train" || output.loss === undefined) {
    parts.loss(prediction, flow.target, flow.mask);
  }
  if (part === "train" && !settings.train.metrics) return;
  const units = task.postprocess(prediction, flow.target);
  const metrics = part === "test" ? [...parts.metrics, ...parts.horizonMetrics] : parts.metrics;
  for (const metric of metrics) metric.update(units.prediction, units.target, flow.mask);
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
