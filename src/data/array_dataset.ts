import { DataError, show, suggest } from "../core/errors.ts";
import { allocateFresh, arrayType, isHeld, rowSize } from "./batch.ts";
import type { Allocate, Dataset, HostArray, HostBatch } from "./dataset.ts";

/**
 * A field of an {@link ArrayDataset}: row-major values, the first axis is the samples.
 *
 * Without `dtype`, Float32Array is float32, Int32Array and Uint8Array are int32, and a plain array
 * of numbers is float32. A Uint8Array is kept as it is (one byte a value) under every dtype and
 * widened only when a tensor is made of it.
 */
export interface ArrayField {
  readonly data: HostArray["data"] | readonly number[];
  readonly shape: readonly number[];
  readonly dtype?: HostArray["dtype"];
}

/** Named typed arrays of any rank with equal first axes; a sample is a row of each. */
export class ArrayDataset implements Dataset {
  readonly length: number;
  readonly fields: Readonly<Record<string, HostArray>>;

  /** @throws {DataError} If a field's shape does not fit its values, or the first axes differ. */
  constructor(fields: Record<string, ArrayField>) {
    const entries = Object.entries(fields);
    if (entries.length === 0) {
      throw new DataError("an ArrayDataset must have at least one field, received none");
    }
    this.fields = Object.fromEntries(entries.map(([name, f]) => [name, checkField(name, f)]));
    this.length = this.fields[entries[0][0]].shape[0];
    if (Object.values(this.fields).some((field) => field.shape[0] !== this.length)) {
      const found = Object.entries(this.fields).map(([name, f]) => `${name} ${f.shape[0]}`);
      throw new DataError(
        `the fields of an ArrayDataset must have equal first axes, received ${found.join(", ")}`,
      );
    }
  }

  gather(indices: ArrayLike<number>, allocate: Allocate = allocateFresh): HostBatch {
    checkIndices(indices, this.length);
    const batch: HostBatch = {};
    for (const [name, { data, shape, dtype }] of Object.entries(this.fields)) {
      const row = rowSize(shape);
      const out = allocate(arrayType(data), indices.length * row);
      for (let i = 0; i < indices.length; i++) {
        const from = indices[i] * row;
        if (row === 1) out[i] = data[from];
        else out.set(data.subarray(from, from + row), i * row);
      }
      batch[name] = { data: out, shape: [indices.length, ...shape.slice(1)], dtype };
    }
    return batch;
  }

  /** Samples `start` to `end` (exclusive), on the same memory. */
  subset(start: number, end: number = this.length): ArrayDataset {
    if (
      !(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end &&
        end <= this.length)
    ) {
      throw new RangeError(
        `a subset of ${this.length} samples must lie in it, received ${start} to ${end}`,
      );
    }
    const part: Record<string, ArrayField> = {};
    for (const [name, { data, shape, dtype }] of Object.entries(this.fields)) {
      const row = rowSize(shape);
      part[name] = {
        data: data.subarray(start * row, end * row),
        shape: [end - start, ...shape.slice(1)],
        dtype,
      };
    }
    return new ArrayDataset(part);
  }
}

/** Throws a RangeError at the first index that is not an integer in [0, length). */
export function checkIndices(indices: ArrayLike<number>, length: number): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i];
    if (!(Number.isInteger(index) && index >= 0 && index < length)) {
      throw new RangeError(
        `a sample index must be an integer in [0, ${length}), received ${index}`,
      );
    }
  }
}

/**
 * The field with typed values and its dtype.
 *
 * @throws {DataError} If the shape does not fit the values, or either is of another kind.
 */
export function checkField(name: string, field: ArrayField): HostArray {
  const where = `field ${show(name)}`;
  if (field === null || typeof field !== "object" || Array.isArray(field)) {
    throw new DataError(`${where}: must be { data, shape }, received ${show(field)}`);
  }
  const known = ["data", "shape", "dtype"];
  const other = Object.keys(field).find((key) => !known.includes(key));
  if (other !== undefined) {
    throw new DataError(`${where}: unknown option ${show(other)}${suggest(other, known)}`);
  }
  const { shape } = field;
  if (
    !Array.isArray(shape) || shape.length === 0 ||
    !shape.every((n) => Number.isInteger(n) && n >= 0)
  ) {
    throw new DataError(
      `${where}: shape must be an array of at least one integer >= 0, received ${show(shape)}`,
    );
  }
  const dtype = field.dtype ?? (isNarrow(field.data) ? "int32" : "float32");
  if (dtype !== "float32" && dtype !== "int32" && dtype !== "bool") {
    throw new DataError(
      `${where}: dtype must be one of "float32", "int32", "bool", received ${show(dtype)}`,
    );
  }
  const { data } = field;
  if (!isHeld(data) && !Array.isArray(data)) {
    throw new DataError(
      `${where}: data must be a Float32Array, Int32Array, Uint8Array or array of numbers, received ${
        show(data)
      }`,
    );
  }
  const size = shape[0] * rowSize(shape);
  if (data.length !== size) {
    throw new DataError(
      `${where}: shape [${shape.join(", ")}] needs ${size} values, received ${data.length}`,
    );
  }
  const { isValue, rule } = values[dtype];
  // What is held as integers fits every dtype.
  if (Array.isArray(data) || data instanceof Float32Array) {
    const wrong = data.findIndex((value) => !isValue(value));
    if (wrong >= 0) {
      const row = Math.floor(wrong / rowSize(shape));
      throw new DataError(`${where}, row ${row}: must be ${rule}, received ${show(data[wrong])}`);
    }
  }
  return { data: isHeld(data) ? data : values[dtype].type.from(data), shape, dtype };
}

/** What a value of each dtype may be. NaN is a missing cell, an infinity what float32 cannot hold. */
const values = {
  float32: {
    type: Float32Array,
    rule: "a float32 number, or NaN where missing",
    isValue: (v: unknown) => typeof v === "number" && Math.abs(Math.fround(v)) !== Infinity,
  },
  int32: {
    type: Int32Array,
    rule: "a 32-bit integer",
    isValue: (v: unknown) => typeof v === "number" && v === (v | 0),
  },
  bool: { type: Uint8Array, rule: "0 or 1", isValue: (v: unknown) => v === 0 || v === 1 },
} as const;

function isNarrow(data: unknown): boolean {
  return data instanceof Int32Array || data instanceof Uint8Array;
}
