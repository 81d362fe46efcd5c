/** Between tensors of a backend and tensors of a file. */
import { CheckpointError, show } from "../core/errors.ts";
import { sha256 } from "../core/sha256.ts";
import * as tf from "../tensor/tf.ts";
import type { HostArray as BatchField } from "../data/dataset.ts";
import type { HostArray, HostTensor } from "./safetensors.ts";

/**
 * Copies tensors off their backend. All reads start before the first is awaited, so the values are
 * those of one instant; works on WebGPU, where synchronous reads throw.
 *
 * @throws {CheckpointError} For a dtype other than float32, int32 and bool.
 */
export async function readTensors(
  tensors: Record<string, tf.Tensor>,
): Promise<Record<string, HostTensor>> {
  const names = Object.keys(tensors);
  const arrays = await Promise.all(names.map(async (name) => {
    const { dtype } = tensors[name];
    if (dtype !== "float32" && dtype !== "int32" && dtype !== "bool") {
      throw new CheckpointError(
        `${show(name)}: dtype must be float32, int32 or bool, received ${dtype}`,
      );
    }
    // The cpu backend answers with its own memory, which an in-place update would change.
    return (await tensors[name].data()).slice();
  }));
  const out: Record<string, HostTensor> = Object.create(null);
  names.forEach((name, i) => {
    const { dtype, shape } = tensors[name];
    const data = arrays[i];
    if (dtype === "float32") out[name] = { dtype: "F32", shape, data: data as Float32Array };
    else if (dtype === "int32") out[name] = { dtype: "I32", shape, data: data as Int32Array };
    else out[name] = { dtype: "BOOL", shape, data: data as Uint8Array };
  });
  return out;
}

/**
 * A new tensor with the values of `host`: float32 for F32 and F64, int32 for I32 and I64, bool for BOOL.
 *
 * @throws {CheckpointError} For another dtype, or an I64 value beyond 32 bits.
 */
export function toTensor(host: HostTensor): tf.Tensor {
  const { data, shape, dtype } = toField(host);
  return tf.tensor(data, [...shape], dtype);
}

/** What {@link toTensor} makes, on the host. */
export function toField(host: HostTensor): BatchField {
  const dtype = naturalDtype(host);
  const data = convert(host, dtype);
  if (data !== undefined) return { data, shape: host.shape, dtype };
  throw new CheckpointError(
    `a tensor of dtype ${host.dtype} and shape ${show(host.shape)} has no tfjs form`,
  );
}

/**
 * A new tensor of `dtype` with the values of `host`, or undefined where the kinds do not agree:
 * float32 takes F32 and F64 (rounded), int32 takes I32 and I64 within 32 bits, bool takes BOOL.
 */
export function toTensorOf(host: HostTensor, dtype: tf.DataType): tf.Tensor | undefined {
  const values = convert(host, dtype);
  return values && tf.tensor(values, [...host.shape], dtype as "float32" | "int32" | "bool");
}

/**
 * SHA-256, in hexadecimal, of all values as float32 little-endian, tensors in code-unit order of
 * their names, nothing between them. Names and shapes do not enter.
 */
export async function weightsSha256(tensors: Record<string, tf.Tensor>): Promise<string> {
  return await hostSha256(await readTensors(tensors));
}

/** `weightsSha256` of tensors that were read before. */
export async function hostSha256(tensors: Record<string, HostTensor>): Promise<string> {
  const arrays = Object.keys(tensors).sort().map((name) => {
    const { data } = tensors[name];
    return data instanceof Float32Array
      ? data
      : Float32Array.from(data as Iterable<number>, Number);
  });
  const bytes = new Uint8Array(arrays.reduce((sum, array) => sum + array.byteLength, 0));
  let at = 0;
  for (const array of arrays) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), at);
    at += array.byteLength;
  }
  return await sha256(bytes);
}

function naturalDtype({ dtype }: HostTensor): BatchField["dtype"] {
  if (dtype === "F32" || dtype === "F64") return "float32";
  return dtype === "BOOL" ? "bool" : "int32";
}

/** The values in a new array of the tensor dtype. */
function convert(
  { dtype, data }: HostTensor,
  target: tf.DataType,
): Float32Array | Int32Array | Uint8Array | undefined {
  if (target === "float32" && (dtype === "F32" || dtype === "F64")) {
    return Float32Array.from(data as Float32Array);
  }
  if (target === "bool" && dtype === "BOOL") return Uint8Array.from(data as Uint8Array);
  if (target !== "int32" || (dtype !== "I32" && dtype !== "I64")) return undefined;
  const values = Int32Array.from(data as Iterable<number | bigint>, Number);
  return dtype === "I32" || isInt32(data) ? values : undefined;
}

function isInt32(data: HostArray): boolean {
  return (data as BigInt64Array).every((v) => v === BigInt.asIntN(32, v));
}
