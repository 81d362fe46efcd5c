/** Prediction on new inputs in original units. */
import { ConfigError, show } from "../core/errors.ts";
import { sliceBatch, toTensors } from "../data/batch.ts";
import type { HostArray, HostBatch } from "../data/dataset.ts";
import type { AffineScaler } from "../data/scaler.ts";
import type { RandomStream } from "../core/random.ts";
import type { Model } from "../model/model.ts";
import type { Task } from "../task/task.ts";
import * as tf from "../tensor/tf.ts";
import { namedOutput } from "./gradients.ts";
import { isMisfit, misfit } from "./misfit.ts";

/** One field: a tensor, an array with its shape, or nested arrays of numbers. */
export type PredictField = tf.Tensor | HostArray | tf.TensorLike;

/** The field `inputs`, or several fields by name; the first axis is the batch. */
export type PredictInputs = PredictField | {
  readonly inputs: PredictField;
  readonly [field: string]: PredictField;
};

/** What a prediction needs. */
export interface PredictParts {
  readonly model: Model;
  readonly task: Task;
  readonly scaler: AffineScaler | undefined;
  /** Rows the model sees at once. */
  readonly batchSize: number;
  breathe(): Promise<void>;
}

/** Scales the inputs, runs the model over slices of at most `batchSize` rows, and answers in original units. */
export async function predict(
  parts: PredictParts,
  inputs: PredictInputs,
  random: RandomStream,
): Promise<Record<string, tf.Tensor>> {
  const batch = await hostFields(inputs, parts.scaler);
  const rows = batch.inputs.shape[0];
  const slices: Record<string, tf.Tensor>[] = [];
  for (let start = 0; start < rows; start += parts.batchSize) {
    const slice = sliceBatch(batch, start, Math.min(rows, start + parts.batchSize));
    try {
      slices.push(tf.tidy(() => {
        const fields = parts.task.prepare(toTensors(slice));
        const output = namedOutput(parts.model.forward(fields, { training: false, random }));
        return parts.task.answer(output, fields);
      }));
    } catch (error) {
      slices.forEach((named) => tf.dispose(Object.values(named)));
      throw isMisfit(error) ? misfit("inputs", "do not fit the model", error, slice) : error;
    }
    await parts.breathe();
  }
  if (slices.length === 1) return slices[0];
  const out: Record<string, tf.Tensor> = {};
  for (const name of Object.keys(slices[0])) {
    const pieces = slices.map((slice) => slice[name]);
    // Scalars (a model's own loss) have no rows to join.
    if (pieces[0].rank > 0) out[name] = tf.concat(pieces);
  }
  slices.forEach((slice) => tf.dispose(Object.values(slice)));
  return out;
}

/** Every field on the host; `inputs` scaled, its missing cells 0 with `inputsMask` beside it. */
async function hostFields(
  inputs: PredictInputs,
  scaler: AffineScaler | undefined,
): Promise<HostBatch> {
  const fields = isFields(inputs) ? inputs : { inputs };
  const batch: HostBatch = {};
  for (const [name, field] of Object.entries(fields)) batch[name] = await hostArray(field, name);
  const { data, shape, dtype } = batch.inputs;
  if (shape.length === 0 || shape[0] === 0) {
    throw new ConfigError(
      "inputs",
      `must have at least one row on its first axis, received shape [${shape}]`,
    );
  }
  if (dtype !== "float32" && scaler === undefined) return batch;
  const channels = shape[shape.length - 1];
  if (scaler !== undefined && scaler.shift.length !== 1 && scaler.shift.length !== channels) {
    throw new ConfigError(
      "inputs",
      `must have ${scaler.shift.length} channels on its last axis, received shape [${shape}]`,
    );
  }
  const copy = Float32Array.from(data);
  const scaled = scaler === undefined ? copy : scaler.transform(copy);
  if (scaled.some(Number.isNaN)) {
    batch.inputsMask ??= {
      data: scaled.map((v) => Number.isNaN(v) ? 0 : 1),
      shape,
      dtype: "float32",
    };
    scaled.forEach((v, i) => Number.isNaN(v) && (scaled[i] = 0));
  }
  batch.inputs = { data: scaled, shape, dtype: "float32" };
  return batch;
}

function isFields(inputs: PredictInputs): inputs is { inputs: PredictField } {
  return typeof inputs === "object" && inputs !== null && "inputs" in inputs &&
    !(inputs instanceof tf.Tensor);
}

async function hostArray(field: PredictField, name: string): Promise<HostArray> {
  if (isHostArray(field)) return field;
  try {
    const tensor = field instanceof tf.Tensor ? field : tf.tensor(field);
    const dtype = tensor.dtype === "int32" || tensor.dtype === "bool" ? tensor.dtype : "float32";
    const array = {
      data: await tensor.data() as Float32Array,
      shape: tensor.shape,
      dtype,
    } as const;
    if (tensor !== field) tensor.dispose();
    // tfjs takes the shape of nested arrays from the first of each.
    if (array.data.length !== tensor.size) throw new Error("rows of different lengths");
    return array;
  } catch (error) {
    throw new ConfigError(
      name,
      `must be a tensor or an array of numbers, received ${show(field)} (${
        (error as Error).message
      })`,
    );
  }
}

function isHostArray(field: PredictField): field is HostArray {
  return typeof field === "object" && field !== null && "data" in field && "shape" in field &&
    "dtype" in field &&
    !(field instanceof tf.Tensor);
}
