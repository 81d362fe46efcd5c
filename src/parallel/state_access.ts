/** Between the shared memory and the variables of a thread. */
import { wasmPlaceOf } from "../fuse/host.ts";
import * as tf from "../tensor/tf.ts";
import type { Arena } from "./arena.ts";
import type { TensorPlace } from "./layout.ts";

/** Gives a variable the values at `address`. */
export function load(
  arena: Arena,
  address: number,
  place: TensorPlace,
  variable: tf.Variable,
): void {
  const shared = valuesAt(arena, address, place);
  // The wasm backend copies what it is given into its heap; the others may keep the array itself.
  assign(variable, tf.getBackend() === "wasm" ? shared : shared.slice());
}

/** The values of a variable at `address`, in place. */
export function valuesAt(
  arena: Arena,
  address: number,
  { size, dtype }: TensorPlace,
): Float32Array | Int32Array {
  return dtype === "float32" ? arena.floatsAt(address, size) : arena.wordsAt(address, size);
}

/** Gives a variable values of the host. */
export function assign(variable: tf.Variable, values: Float32Array | Int32Array): void {
  const { shape, dtype } = variable;
  const given = dtype === "bool" ? Uint8Array.from(values) : values;
  const tensor = tf.tensor(given, shape, dtype);
  variable.assign(tensor);
  tensor.dispose();
}

/** Copies a gradient to `address`; one of another type is converted, as an update converts it. */
export async function storeFloats(
  arena: Arena,
  address: number,
  tensor: tf.Tensor,
): Promise<void> {
  if (tensor.dtype === "float32") return await store(arena, address, tensor);
  const floats = tf.cast(tensor, "float32");
  await store(arena, address, floats);
  floats.dispose();
}

/** Copies the values of a tensor to `address`. */
export async function store(arena: Arena, address: number, tensor: tf.Tensor): Promise<void> {
  const { dtype, size } = tensor;
  const target = dtype === "float32" ? arena.floatsAt(address, size) : arena.wordsAt(address, size);
  const place = dtype === "bool" || size === 0 ? undefined : wasmPlaceOf(tensor);
  if (place === undefined) return target.set(await tensor.data());
  const View = dtype === "float32" ? Float32Array : Int32Array;
  target.set(new View(place.memory.buffer, place.address, size));
}
