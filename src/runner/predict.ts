/** Prediction on new inputs in original units. */
import { ConfigError, oneLine, show } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import { type ArrayField, checkField } from "../data/array_dataset.ts";
import { sliceBatch, toTensors } from "../data/batch.ts";
import type { DataSplits, HostArray, HostBatch } from "../data/dataset.ts";
import { markMissing } from "../data/data_form.ts";
import type { Model } from "../model/model.ts";
import type { Task } from "../task/task.ts";
import * as tf from "../tensor/tf.ts";
import { forwardPass } from "./forward_pass.ts";
import { isMisfit, misfit } from "./misfit.ts";

/** One field: a tensor, an array with its shape, or nested arrays of numbers. */
export type PredictField = tf.Tensor | ArrayField | tf.TensorLike;

/** The field `inputs`, or several fields by name; the first axis is the batch. */
export type PredictInputs = PredictField | {
  readonly inputs: PredictField;
  readonly [field: string]: PredictField;
};

/** What a prediction needs. */
export interface PredictParts {
  readonly model: Model;
  readonly task: Task;
  /** Scalers, null value and form of the data that the model was trained on. */
  readonly data: DataSplits;
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
  const batch = await hostFields(inputs, parts.data);
  const rows = batch.inputs.shape[0];
  const slices: Record<string, tf.Tensor>[] = [];
  try {
    for (let start = 0; start < rows; start += parts.batchSize) {
      const slice = sliceBatch(batch, start, Math.min(rows, start + parts.batchSize));
      slices.push(answer(parts, slice, random));
      await parts.breathe();
    }
  } catch (error) {
    slices.forEach((named) => tf.dispose(Object.values(named)));
    throw error;
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

/** What the model answers for some rows. */
function answer(
  { model, task }: PredictParts,
  slice: HostBatch,
  random: RandomStream,
): Record<string, tf.Tensor> {
  try {
    return tf.tidy(() => {
      const fields = task.prepare(toTensors(slice));
      const output = forwardPass(model, fields, { training: false, random });
      return task.answer(output, fields);
    });
  } catch (error) {
    throw isMisfit(error) ? misfit("inputs", "do not fit the model", error, slice) : error;
  }
}

/**
 * Every field on the host; `inputs` as the data set makes them: null values missing, the others
 * scaled, missing cells 0 with `inputsMask` beside them.
 */
async function hostFields(inputs: PredictInputs, form: DataSplits): Promise<HostBatch> {
  const { nullValue, series } = form;
  const scaler = form.inputScaler ?? form.scaler;
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
  const isPlain = scaler === undefined && nullValue === undefined && series === undefined;
  if (dtype !== "float32" && isPlain) return batch;
  const channels = shape[shape.length - 1];
  if (scaler !== undefined && scaler.shift.length !== 1 && scaler.shift.length !== channels) {
    throw new ConfigError(
      "inputs",
      `must have ${scaler.shift.length} channels on its last axis, received shape [${shape}]`,
    );
  }
  const copy = Float32Array.from(data);
  if (copy.some((value) => Math.abs(value) === Infinity)) {
    throw new ConfigError(
      "inputs",
      "must hold float32 numbers, or NaN where missing, received an infinity",
    );
  }
  const missing = markMissing(copy, nullValue);
  const scaled = scaler === undefined ? copy : scaler.transform(copy);
  if (missing || series?.masked === true) {
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
  if (isHostArray(field)) {
    const { data, shape, dtype } = field;
    return checkField(name, { data: narrowed(data), shape, dtype });
  }
  try {
    const tensor = field instanceof tf.Tensor ? field : tf.tensor(numbers(field) as tf.TensorLike);
    try {
      const { shape, size, dtype } = tensor;
      if (dtype !== "float32" && dtype !== "int32" && dtype !== "bool") {
        throw new Error(`values of type ${dtype}`);
      }
      const data = await tensor.data<"float32">();
      // tfjs takes the shape of nested arrays from the first of each.
      if (data.length !== size) throw new Error("rows of different lengths");
      return { data, shape, dtype };
    } finally {
      if (tensor !== field) tensor.dispose();
    }
  } catch (error) {
    throw new ConfigError(
      name,
      `must be a tensor or an array of numbers, received ${show(field)} (${oneLine(error)})`,
    );
  }
}

/** Nested arrays as tfjs takes them: null cells as NaN, Float64Array as float32. */
function numbers(field: unknown): unknown {
  if (!Array.isArray(field)) return narrowed(field);
  if (field.some((item) => typeof item === "object" && item !== null)) return field.map(numbers);
  const isCell = (item: unknown): boolean =>
    item === null || typeof item === "number" || typeof item === "boolean";
  const wrong = field.findIndex((item) => !isCell(item));
  if (wrong >= 0) throw new Error(`a cell is ${show(field[wrong])}`);
  return field.includes(null) ? field.map((item) => item ?? NaN) : field;
}

function narrowed<T>(data: T): T | Float32Array {
  return data instanceof Float64Array ? Float32Array.from(data) : data;
}

function isHostArray(field: PredictField): field is ArrayField {
  return typeof field === "object" && field !== null && "data" in field && "shape" in field &&
    !(field instanceof tf.Tensor);
}
