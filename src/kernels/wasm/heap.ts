/**
 * A full heap is an error. tfjs puts what `_malloc` answers into its tensors without a look at it, and
 * that is 0 where nothing is left of the heap's 4 GiB: the elements would lie over the module's own
 * data, and every later number could be wrong. All outputs and uploads, of tfjs' kernels as of ours,
 * pass `move` of the backend.
 */
import * as tf from "../../tensor/tf.ts";
import type { WasmBackend } from "./context.ts";

type Move = WasmBackend["move"];

/** tfjs' own functions by the prototypes of the backends that have been seen. */
const replaced = new Map<WasmBackend, Move>();

/** Checks every allocation of this backend, and of others of its class. */
export function guardHeap(backend: WasmBackend): void {
  const prototype = Object.getPrototypeOf(backend) as WasmBackend;
  if (replaced.has(prototype)) return;
  const { move } = prototype;
  replaced.set(prototype, move);
  prototype.move = function (this: WasmBackend, dataId, values, shape, dtype, refCount) {
    if (dtype === "string") return move.call(this, dataId, values, shape, dtype, refCount);
    const bytes = tf.util.sizeFromShape(shape) * tf.util.bytesPerElement(dtype);
    // malloc would take the size modulo 2^32.
    if (bytes >= 2 ** 32) throw outOfMemory(shape, dtype);
    move.call(this, dataId, null, shape, dtype, refCount);
    const { memoryOffset } = this.dataIdMap.get(dataId);
    if (memoryOffset === 0 && bytes > 0) {
      this.disposeData(dataId, true);
      throw outOfMemory(shape, dtype);
    }
    if (values != null) {
      const { buffer, byteOffset } = values as Float32Array;
      this.wasm.HEAPU8.set(new Uint8Array(buffer, byteOffset, bytes), memoryOffset!);
    }
  };
}

/** Puts tfjs' own functions back. */
export function unguardHeap(): void {
  for (const [prototype, move] of replaced) prototype.move = move;
  replaced.clear();
}

function outOfMemory(shape: readonly number[], dtype: tf.DataType): Error {
  return new Error(`out of memory: a ${dtype} tensor of shape [${shape}] does not fit`);
}
