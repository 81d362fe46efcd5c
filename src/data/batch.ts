/** Batches on the host: their size, views of them, samples stacked into them, and their tensors. */
import { DataError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import type { Allocate, HostArray, HostBatch, Sample } from "./dataset.ts";

/**
 * The number of samples in `batch`.
 *
 * @throws {DataError} If a field is no array with its shape, there is none, or their first axes differ.
 */
export function batchSize(batch: HostBatch): number {
  checkFields(batch);
  const sizes = Object.entries(batch).map(([name, field]) => [name, field.shape[0]] as const);
  if (sizes.length === 0) {
    throw new DataError("a batch must have at least one field, received none");
  }
  const size = sizes[0][1];
  if (size === undefined || sizes.some(([, other]) => other !== size)) {
    const found = sizes.map(([name, n]) => `${name} ${n ?? "a scalar"}`).join(", ");
    throw new DataError(`the fields of a batch must have equal first axes, received ${found}`);
  }
  return size;
}

/** A data set of a program may gather anything; what has other fields than these fails far from it. */
function checkFields(batch: HostBatch): void {
  if (batch === null || typeof batch !== "object") {
    throw new DataError(`a batch must be an object of fields, received ${show(batch)}`);
  }
  for (const [name, field] of Object.entries(batch)) checkHeld(`field ${show(name)}`, field);
}

function checkHeld(field: string, held: HostArray): void {
  const { data, shape, dtype } = held ?? {};
  if (!(Array.isArray(shape) && isHeld(data))) {
    const received = data === undefined ? show(held) : show(data);
    throw new DataError(
      `${field} of a batch must be { data, shape, dtype } with a Float32Array, Int32Array ` +
        `or Uint8Array as data, received ${received}`,
    );
  }
  if (!DTYPES.includes(dtype)) {
    const known = DTYPES.join(", ");
    throw new DataError(`${field}: dtype must be one of ${known}, received ${show(dtype)}`);
  }
  if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new DataError(`${field}: shape must hold integers >= 0, received ${show(shape)}`);
  }
  const size = tf.util.sizeFromShape([...shape]);
  if (data.length === size) return;
  throw new DataError(
    `${field}: data must have the ${size} values of its shape [${shape}], received ${data.length}`,
  );
}

const DTYPES: readonly string[] = ["float32", "int32", "bool"] satisfies HostArray["dtype"][];

/**
 * The batch, if it has one row for each of `rows` indices.
 *
 * @param where What the message begins with.
 * @throws {DataError} If it has more or fewer, or is no batch.
 */
export function checkRows(batch: HostBatch, rows: number, where = ""): HostBatch {
  const size = batchSize(batch);
  if (size === rows) return batch;
  throw new DataError(
    `${where}gather must give one row for each of ${rows} indices, received ${size} rows`,
  );
}

/** Whether these can be the values of a field. */
export function isHeld(data: unknown): data is HostArray["data"] {
  return data instanceof Float32Array || data instanceof Int32Array || data instanceof Uint8Array;
}

/** The class of an array that a field may be held in; that of what derives from one, as Node's Buffer. */
export function arrayType(data: HostArray["data"]): Float32ArrayConstructor {
  const type = [Float32Array, Int32Array, Uint8Array].find((type) => data instanceof type);
  return type as Float32ArrayConstructor;
}

/** Samples `start` to `end` (exclusive) of `batch`, as views of the same memory. */
export function sliceBatch(batch: HostBatch, start: number, end: number): HostBatch {
  const size = batchSize(batch);
  if (
    !(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= size)
  ) {
    throw new RangeError(`a slice of ${size} samples must lie in it, received ${start} to ${end}`);
  }
  return mapFields(batch, ({ data, shape, dtype }) => {
    const row = rowSize(shape);
    return {
      data: data.subarray(start * row, end * row),
      shape: [end - start, ...shape.slice(1)],
      dtype,
    };
  });
}

/** The tensors of `batch` by field name; the caller disposes them. */
export function toTensors(batch: HostBatch): Record<string, tf.Tensor> {
  batchSize(batch);
  const out: Record<string, tf.Tensor> = {};
  for (const [name, { data, shape, dtype }] of Object.entries(batch)) {
    out[name] = tf.tensor(data, [...shape], dtype);
  }
  return out;
}

/**
 * Stacks samples along a new first axis; a plain number becomes a float32 cell.
 *
 * @param first Number of `samples[0]` in its stream, for error messages.
 * @throws {DataError} If the samples differ in fields, shapes or dtypes.
 */
export function stackSamples(samples: readonly Sample[], first = 0): HostBatch {
  const like = hostSample(samples[0]);
  checkFields(like);
  const names = Object.keys(like);
  const batch = mapFields(like, ({ data, shape, dtype }) => ({
    data: new (arrayType(data))(samples.length * data.length),
    shape: [samples.length, ...shape],
    dtype,
  }));
  samples.forEach((raw, i) => {
    const sample = hostSample(raw);
    const where = `sample ${first + i} of the stream`;
    if (Object.keys(sample).length !== names.length) {
      throw new DataError(
        `${where}: must have the fields ${names.join(", ")}, received ${
          Object.keys(sample).join(", ")
        }`,
      );
    }
    for (const name of names) {
      const field = sample[name];
      if (field === undefined) throw new DataError(`${where}: lacks the field ${show(name)}`);
      const { shape, dtype, data } = like[name];
      if (
        field.dtype !== dtype || field.shape.join() !== shape.join() ||
        field.data.length !== data.length || field.data.constructor !== data.constructor
      ) {
        throw new DataError(
          `${where}: field ${show(name)} must be ${dtype} [${shape}] of ${data.length} values ` +
            `like the first of its batch, received ${field.dtype} [${field.shape}] of ${field.data.length}`,
        );
      }
      batch[name].data.set(field.data, i * data.length);
    }
  });
  return batch;
}

/**
 * A batch in arrays of `allocate`: what a data set has put elsewhere, where it may put the next batch
 * too, is copied at once.
 *
 * @param gather Makes the batch.
 */
export async function ownBatch(
  gather: (allocate: Allocate) => HostBatch | Promise<HostBatch>,
  allocate: Allocate = allocateFresh,
): Promise<HostBatch> {
  const given = new Set<HostArray["data"]>();
  const batch = await gather((type, length) => {
    const array = allocate(type, length);
    given.add(array);
    return array;
  });
  checkFields(batch);
  return mapFields(batch, (field) => {
    if (given.has(field.data)) return field;
    const data = allocate(arrayType(field.data), field.data.length);
    data.set(field.data);
    return { ...field, data };
  });
}

/** Fresh arrays of zeros. */
export function allocateFresh<A>(type: { new (length: number): A }, length: number): A {
  return new type(length);
}

/** The number of values in one sample of a field: the product of all axes but the first. */
export function rowSize(shape: readonly number[]): number {
  return shape.slice(1).reduce((product, n) => product * n, 1);
}

function hostSample(sample: Sample): HostBatch {
  const out: HostBatch = {};
  for (const [name, value] of Object.entries(sample)) {
    out[name] = typeof value === "number"
      ? { data: Float32Array.of(value), shape: [], dtype: "float32" }
      : value;
  }
  return out;
}

function mapFields(batch: HostBatch, f: (field: HostArray) => HostArray): HostBatch {
  return Object.fromEntries(Object.entries(batch).map(([name, field]) => [name, f(field)]));
}
