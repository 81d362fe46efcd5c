/**
 * Two samples of every part go through model, loss and metrics before a run begins, and the training
 * loss is differentiated once, so that a model that does not fit its data, or that its backend cannot
 * train, is one line instead of a stack trace from inside a run directory.
 */
import { ConfigError, suggest } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import { ArrayDataset } from "../data/array_dataset.ts";
import { batchSize, checkRows, sliceBatch, toTensors } from "../data/batch.ts";
import type { DataSplits, HostBatch } from "../data/dataset.ts";
import { StreamLoader } from "../data/loader.ts";
import { metricSums } from "../metric/sums.ts";
import type { RunParts } from "../runner/parts.ts";
import { AuxiliaryLoss } from "../runner/callbacks/auxiliary_loss.ts";
import { Curriculum } from "../runner/callbacks/curriculum.ts";
import { forwardPass } from "../runner/forward_pass.ts";
import { trainable } from "../runner/leaf_gradient.ts";
import { isMisfit, misfit } from "../runner/misfit.ts";
import * as tf from "../tensor/tf.ts";
import { checkTargets } from "./check_targets.ts";

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
 * Tries the first samples of each part that the run uses; of a stream the first batch, which is then
 * the first of training. Nothing else is kept: buffers that the forward pass assigns are put back.
 *
 * @param training Whether the run will be trained; a backend that lacks gradients can do the rest.
 * @throws {ConfigError} If model, loss or a metric refuses them, with their shapes, or if the loss
 * cannot be differentiated.
 * @throws {DataError} If a data set gathers something else than batches, or targets are of no use.
 */
export async function checkFit(
  parts: FitParts,
  random: RandomStream,
  training: boolean,
): Promise<void> {
  for (const part of PARTS) {
    const dataset = parts.data[part];
    const batch = await firstBatch(parts, part, training);
    if (batch === undefined) continue;
    const sample = sliceBatch(batch, 0, Math.min(2, batchSize(batch)));
    const name = `${part === "train" ? "training" : part} part`;
    let forward = false;
    let scores: readonly number[] = [];
    const tryForward = (): tf.Scalar => {
      const { loss, prediction } = tryPart(parts, part, sample, random);
      scores = prediction.shape;
      forward = true;
      return loss;
    };
    try {
      tf.tidy(() => {
        if (part !== "train" || !training) tryForward();
        else tf.variableGrads(tryForward, Object.values(trainable(parts.model)));
      });
    } catch (error) {
      if (!isMisfit(error) || hasPlace(error)) throw error;
      const what = forward
        ? "cannot be trained"
        : `does not fit the ${part === "train" ? "training" : part} data`;
      throw misfit("model", `${parts.name} ${what}`, error, sample);
    }
    const isWhole = dataset instanceof ArrayDataset;
    const fields = isWhole ? dataset.fields : batch;
    await checkTargets(parts, { part: name, fields, isWhole, scores });
  }
}

/** The first samples of a part; undefined if the run does not use it. */
async function firstBatch(
  { data, loaders }: FitParts,
  part: typeof PARTS[number],
  training: boolean,
): Promise<HostBatch | undefined> {
  const loader = loaders[part], dataset = data[part];
  if (loader === undefined || dataset === undefined) return undefined;
  if (!("gather" in dataset)) {
    return training && loader instanceof StreamLoader ? await loader.first() : undefined;
  }
  const indices = [0, 1].slice(0, dataset.length);
  return checkRows(await dataset.gather(indices), indices.length, `${part}: `);
}

/** The pass that the run will make on a part; answers its loss and prediction. */
function tryPart(
  parts: FitParts,
  part: typeof PARTS[number],
  sample: HostBatch,
  random: RandomStream,
): { loss: tf.Scalar; prediction: tf.Tensor } {
  const { model, task, settings } = parts;
  const training = part === "train";
  const buffers = Object.values(model.buffers ?? {});
  const before = buffers.map((buffer) => tf.clone(buffer));
  const flow = task.preprocess(toTensors(sample), { training, random });
  let output: Record<string, tf.Tensor>;
  try {
    output = forwardPass(model, flow.model, { training, random });
  } finally {
    buffers.forEach((buffer, i) => buffer.assign(before[i]));
  }
  const { prediction } = output;
  for (const callback of training ? parts.callbacks : []) {
    if (callback instanceof AuxiliaryLoss) {
      checkAuxiliary(callback, Object.keys(output), parts.name);
    } else if (callback instanceof Curriculum) {
      checkCurriculum(callback, flow.target.shape);
    }
  }
  // A model with a loss of its own trains with that.
  const loss = training && output.loss !== undefined
    ? tf.reshape(output.loss, []) as tf.Scalar
    : parts.loss(prediction, flow.target, flow.mask).sum;
  if (training && !settings.train.metrics) return { loss, prediction };
  const units = task.postprocess(prediction, flow.target);
  const metrics = part === "test" ? [...parts.metrics, ...parts.horizonMetrics] : parts.metrics;
  metricSums(metrics, units.prediction, units.target, flow.mask);
  return { loss, prediction };
}

function checkCurriculum({ length, path }: Curriculum, [, steps = 0]: readonly number[]): void {
  if (length <= steps) return;
  throw new ConfigError(
    `${path}.prediction_length`,
    `must be at most the number of target steps, ${steps}, received ${length}`,
  );
}

function checkAuxiliary({ keys, path }: AuxiliaryLoss, outputs: string[], name: string): void {
  const missing = keys.find((key) => !outputs.includes(key));
  if (missing === undefined) return;
  throw new ConfigError(
    `${path}.keys`,
    `${name} has no output '${missing}'${suggest(missing, outputs)}`,
  );
}

/** Errors of metrics, of `test.horizons`, of callbacks and of assignments say where they stand. */
function hasPlace(error: Error): boolean {
  return error instanceof ConfigError && /^(metrics|test|callbacks)\b|^model$/.test(error.path);
}
