/** Batches in the buffer that coordinator and workers share: the fields, then the metric sums of the rows. */
import type { HostArray, HostBatch } from "../data/dataset.ts";
import type { FieldPlace } from "./protocol.ts";

/** Where the fields of a batch lie from `start` on, and `metrics` float32 values after them. */
export function placesOf(
  batch: HostBatch,
  metrics: number,
  start: number,
): { fields: FieldPlace[]; metricsAt: number; bytes: number } {
  let end = start;
  const take = (n: number): number => {
    const at = end;
    end += Math.ceil(n / 64) * 64;
    return at;
  };
  const fields = Object.entries(batch).map(([name, { data, shape, dtype }]): FieldPlace => ({
    name,
    shape,
    dtype,
    at: take(data.byteLength),
  }));
  const metricsAt = take(4 * metrics);
  return { fields, metricsAt, bytes: end - start };
}

/** Copies a batch into the buffer. */
export function putBatch(
  batch: HostBatch,
  fields: readonly FieldPlace[],
  buffer: SharedArrayBuffer,
): void {
  for (const { name, at } of fields) {
    const { data } = batch[name];
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    new Uint8Array(buffer, at, data.byteLength).set(bytes);
  }
}

/** The batch as views of the buffer. */
export function batchIn(buffer: SharedArrayBuffer, fields: readonly FieldPlace[]): HostBatch {
  return Object.fromEntries(fields.map(({ name, shape, dtype, at }): [string, HostArray] => {
    const size = shape.reduce((product, n) => product * n, 1);
    const View = { float32: Float32Array, int32: Int32Array, bool: Uint8Array }[dtype];
    const data = new View(buffer as unknown as ArrayBuffer, at, size);
    return [name, { data, shape, dtype }];
  }));
}
