/**
 * Updates on backends whose memory is the host's: scalar tensors are read there (`dataSync`), which is
 * an access to that memory and no wait.
 */
import * as tf from "../tensor/tf.ts";
import type { Update } from "./expression.ts";
import { runJavaScript } from "./javascript.ts";
import { hostInput, type Loop, loopOf, SCALE } from "./loop.ts";
import { type Operands, tensorOf, unshare } from "./operands.ts";
import { wasmLoop } from "./wasm.ts";

/** What is used of tfjs' WebAssembly backend. */
interface WasmBackend extends tf.KernelBackend {
  readonly wasm: {
    readonly asm: { readonly memory: WebAssembly.Memory };
    readonly tfjs: {
      registerTensor(id: number, size: number, address: number): void;
      disposeData(id: number): void;
    };
  };
  readonly dataIdMap: { get(dataId: object): WasmData };
}

interface WasmData {
  /** The module's number of the tensor. */
  readonly id: number;
  readonly memoryOffset: number;
}

/** Updates of one call: what several of them read is read once. */
export class HostUpdates {
  readonly #backend = tf.backend();
  readonly #numbers = new Map<tf.Tensor, number>();
  readonly #finite = new Map<tf.Tensor, boolean>();

  run(update: Update, operands: Operands): void {
    if (operands.guard !== undefined && !this.#isFinite(operands.guard)) return;
    const scalars = this.#hostScalars(operands);
    const loop = loopOf(update, scalars);
    const inputs = loop.inputs.map((input) => hostInput(input, scalars));
    if (!runWasm(this.#backend, loop, operands, inputs)) runArrays(loop, operands, inputs);
  }

  /** The scalars as numbers, with the scale of the gradient unless it is 1. */
  #hostScalars(operands: Operands): Readonly<Record<string, number>> {
    const { scalars, scale = 1 } = operands;
    let numbersOnly = scale === 1;
    for (const name in scalars) numbersOnly &&= typeof scalars[name] === "number";
    if (numbersOnly) return scalars as Record<string, number>;
    const numbers: Record<string, number> = {};
    for (const name in scalars) numbers[name] = this.#number(scalars[name]);
    const factor = this.#number(scale);
    if (factor !== 1) numbers[SCALE] = factor;
    return numbers;
  }

  #number(value: number | tf.Scalar): number {
    if (typeof value === "number") return value;
    let number = this.#numbers.get(value);
    if (number === undefined) this.#numbers.set(value, number = value.dataSync()[0]);
    return number;
  }

  #isFinite(guard: tf.Tensor): boolean {
    let finite = this.#finite.get(guard);
    if (finite === undefined) {
      this.#finite.set(guard, finite = guard.dataSync().every(Number.isFinite));
    }
    return finite;
  }
}

/**
 * Where the elements of a tensor lie, on tfjs' WebAssembly backend; undefined on others. What moves
 * the tensor, or makes or frees another, may end that.
 */
export function wasmPlaceOf(
  tensor: tf.Tensor,
): { readonly memory: WebAssembly.Memory; readonly address: number } | undefined {
  const { wasm, dataIdMap } = tf.backend() as Partial<WasmBackend>;
  if (wasm?.asm?.memory === undefined || dataIdMap === undefined) return undefined;
  // Getting the data moves them here from another backend, for which the memory may grow.
  const address = dataIdMap.get(tensor.dataId).memoryOffset;
  return { memory: wasm.asm.memory, address };
}

/** In place on the backend's memory; false if the backend is another or has no SIMD. */
function runWasm(
  backend: tf.KernelBackend,
  loop: Loop,
  operands: Operands,
  inputs: readonly number[],
): boolean {
  const { wasm, dataIdMap } = backend as Partial<WasmBackend>;
  const memory = wasm?.asm?.memory;
  if (memory === undefined || dataIdMap === undefined) return false;
  const run = wasmLoop(loop, memory, true);
  if (run === undefined) return false;
  const { size } = operands.param;
  const written: WasmData[] = [];
  const values = [size];
  loop.tensors.forEach((leaf, i) => {
    const tensor = tensorOf(leaf, operands);
    // Getting the data moves them here from another backend; only then is their count known.
    let data = dataIdMap.get(tensor.dataId);
    if (loop.stores[i] !== undefined) {
      if (backend.refCount(tensor.dataId) > 1) {
        unshare(tensor as tf.Variable);
        data = dataIdMap.get(tensor.dataId);
      }
      written.push(data);
    }
    if (data.memoryOffset === 0) throw new Error("an optimizer step: the WASM heap is full");
    values.push(data.memoryOffset);
  });
  run(...values, ...inputs);
  for (const { id, memoryOffset } of written) {
    // XNNPACK's products and convolutions keep a packed copy of their weights until these go.
    wasm!.tfjs.disposeData(id);
    wasm!.tfjs.registerTensor(id, size, memoryOffset);
  }
  return true;
}

/** Into new arrays: those of the cpu backend may be the caller's. */
function runArrays(loop: Loop, operands: Operands, inputs: readonly number[]): void {
  const { param: { size } } = operands;
  const tensors = loop.tensors.map((leaf) => tensorOf(leaf, operands));
  const arrays = tensors.map((tensor) => {
    const values = tensor.dataSync();
    return values instanceof Float32Array ? values : Float32Array.from(values);
  });
  const targets = loop.stores.map((value) =>
    value === undefined ? undefined : new Float32Array(size)
  );
  runJavaScript(loop, arrays, inputs, 0, size, targets);
  targets.forEach((values, i) => {
    const { shape } = tensors[i];
    if (values !== undefined) (tensors[i] as tf.Variable).assign(tf.tensor(values, shape));
  });
}
