/** Batches in the buffer that coordinator and workers share: the fields, then the metric sums of the rows. */
import { arrayType } from "../data/batch.ts";
import type { Allocate, HostArray, HostBatch } from "../data/dataset.ts";
import { ARRAYS, type FieldPlace } from "./protocol.ts";

/** Part of the buffer. */
export interface BatchRoom {
  readonly buffer: SharedArrayBuffer;
  readonly start: number;
  readonly end: number;
}

/** Gives arrays in the room as long as there are any, then others. */
export function allocateIn({ buffer, start, end }: BatchRoom): Allocate {
  let at = start;
  return (type, length) => {
    const array = new type(0);
    const bytes = length * array.BYTES_PER_ELEMENT;
    if (at + bytes > end) return new type(length);
    const here = at;
    at += align(bytes);
    return new type(buffer as unknown as ArrayBuffer, here, length);
  };
}

/** Where the fields of a batch lie in the room, those that are there already where they are, and `metrics` float32 values after them. */
export function placesOf(
  batch: HostBatch,
  metrics: number,
  room?: BatchRoom,
): { fields: FieldPlace[]; metricsAt: number; bytes: number } {
  const { buffer, start, end } = room ?? { start: 0, end: 0 };
  const isThere = ({ data }: HostArray) =>
    data.buffer === buffer as unknown && data.byteOffset >= start && data.byteOffset < end;
  let next = start;
  for (const { data } of Object.values(batch).filter(isThere)) {
    next = Math.max(next, data.byteOffset + align(data.byteLength));
  }
  const take = (n: number): number => {
    const at = next;
    next += align(n);
    return at;
  };
  const fields = Object.entries(batch).map(([name, field]): FieldPlace => {
    const { data, shape, dtype } = field;
    const array = arrayType(data).name as FieldPlace["array"];
    const at = isThere(field) ? data.byteOffset : take(data.byteLength);
    return { name, shape, dtype, array, at };
  });
  const metricsAt = take(4 * metrics);
  return { fields, metricsAt, bytes: next - start };
}

function align(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

/** Copies what is not there yet of a batch into the buffer. */
export function putBatch(
  batch: HostBatch,
  fields: readonly FieldPlace[],
  buffer: SharedArrayBuffer,
): void {
  for (const { name, at } of fields) {
    const { data } = batch[name];
    if (data.buffer === buffer as unknown && data.byteOffset === at) continue;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    new Uint8Array(buffer, at, data.byteLength).set(bytes);
  }
}

/** The batch as views of the buffer. */
export function batchIn(buffer: SharedArrayBuffer, fields: readonly FieldPlace[]): HostBatch {
  return Object.fromEntries(fields.map(({ name, shape, dtype, array, at }): [string, HostArray] => {
    const size = shape.reduce((product, n) => product * n, 1);
    const data = new ARRAYS[array](buffer as unknown as ArrayBuffer, at, size);
    return [name, { data, shape, dtype }];
  }));
}
