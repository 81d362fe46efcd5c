/**
 * What a task is: how a batch becomes what the model sees, what the loss compares, and what an
 * answer is. The loss is always taken in the space of the data (scaled), metrics and answers in
 * original units where asked for.
 */
import type { RandomStream } from "../core/random.ts";
import type { AffineScaler } from "../data/scaler.ts";
import { ConfigError, show } from "../core/errors.ts";
import { expandMask, total } from "../loss/items.ts";
import type { Batch } from "../model/model.ts";
import * as tf from "../tensor/tf.ts";

/** What {@link Task.preprocess} is told. */
export interface TaskContext {
  readonly training: boolean;
  /** Random numbers of this (seed, iteration, shard); read while training only. */
  readonly random: RandomStream;
  /**
   * Number of the batch's first sample in its split: what evaluation draws by, so that it repeats
   * and does not depend on the batch size. @default {0}
   */
  readonly position?: number;
}

/** A batch made ready. */
export interface TaskBatch {
  /** What the model sees. */
  readonly model: Batch;
  /** What the loss and the metrics compare the prediction with. */
  readonly target: tf.Tensor;
  /** 1 where a cell of the target counts; absent when all do. */
  readonly mask?: tf.Tensor;
}

/** The task flow. Every method runs inside tidy. */
export interface Task {
  readonly name: string;
  /** The loss and metrics of a config that names none. */
  readonly defaults: { readonly loss: string; readonly metrics: readonly string[] };
  /**
   * The batch as the model sees it. Outside training `targets` and `targetsMask` are zeros of their
   * shapes, so that what is to be predicted cannot leak. No tensor of `batch` is changed.
   */
  preprocess(batch: Batch, context: TaskContext): TaskBatch;
  /** The batch as the model sees it when `predict()` is asked: nothing is hidden, missing inputs (NaN) are 0. */
  prepare(batch: Batch): Batch;
  /** How many items a batch counts for when the model returns a mean `loss` of its own. */
  itemWeight(target: tf.Tensor, mask?: tf.Tensor): number | tf.Scalar;
  /** What metrics compare: in original units when `rescale`. */
  postprocess(
    prediction: tf.Tensor,
    target: tf.Tensor,
  ): { prediction: tf.Tensor; target: tf.Tensor };
  /** What `predict()` answers, in original units; `batch` as given to or made by {@link prepare}. */
  answer(output: Record<string, tf.Tensor>, batch: Batch): Record<string, tf.Tensor>;
}

/** What a task is made with. */
export interface TaskOptions {
  /** The scaler already applied to the data. */
  readonly scaler?: AffineScaler;
  /** Whether metrics are in original units. @default {false} */
  readonly rescale?: boolean;
  /** Imputation: the share of the cells that is hidden, in (0, 1). @default {0.25} */
  readonly ratio?: number;
}

/** The batch's field `name`. */
export function field(batch: Batch, name: string, task: string): tf.Tensor {
  const tensor = batch[name];
  if (tensor === undefined) {
    throw new ConfigError(
      "data",
      `${task} needs a field '${name}' in the batch, received ${show(Object.keys(batch))}`,
    );
  }
  return tensor;
}

/** The batch with `targets` and `targetsMask`, where there are any, as zeros. */
export function blankTargets(batch: Batch): Batch {
  const blank = { ...batch };
  for (const name of ["targets", "targetsMask"]) {
    if (name in batch) blank[name] = tf.zerosLike(batch[name]);
  }
  return blank;
}

/** Number of cells that count. */
export function validCells(target: tf.Tensor, mask?: tf.Tensor): number | tf.Scalar {
  const valid = expandMask(mask, target.shape);
  return valid === undefined ? target.size : total(tf.cast(valid, "float32"));
}

/** `values` in original units. */
export function unscale(values: tf.Tensor, scaler: AffineScaler | undefined): tf.Tensor {
  return scaler === undefined ? values : scaler.inverseTensor(values);
}

/** Where the inputs were observed, as bool: by `inputsMask` where given, and never where NaN. */
export function observedInputs(batch: Batch, inputs: tf.Tensor): tf.Tensor {
  const present = tf.logicalNot(tf.isNaN(inputs));
  const mask = expandMask(batch.inputsMask, inputs.shape);
  return mask === undefined ? present : tf.logicalAnd(mask, present);
}
