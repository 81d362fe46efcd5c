/**
 * Our kernel module on the memory of one tfjs wasm backend.
 *
 * Backends come and go, and a kernel is called with the one that is meant: each instance gets a
 * context at its first kernel. The heap grows: addresses stay valid and views do not, so views are
 * made at each use, and addresses are unsigned (the heap passes 2 GiB).
 */
import type * as tf from "../../tensor/tf.ts";
import { fastestTile } from "./tiles.ts";
import { instantiateKernels, type KernelExports } from "./module.ts";

/** What tfjs' wasm backend keeps of a tensor's data. */
export interface WasmData {
  /** Where the elements lie; null for strings, 0 for complex numbers. */
  readonly memoryOffset: number | null;
  readonly refCount: number;
  /** The parts of a complex tensor, see complex.ts; the data owns a reference to each. */
  complexTensorInfos?: { readonly real: tf.TensorInfo; readonly imag: tf.TensorInfo };
}

/** What the kernels use of tfjs' wasm backend. */
export interface WasmBackend extends tf.KernelBackend {
  readonly wasm: {
    readonly HEAPU8: Uint8Array;
    readonly asm: { readonly memory: WebAssembly.Memory };
    _malloc(bytes: number): number;
    _free(address: number): void;
  };
  readonly dataIdMap: {
    get(id: object): WasmData;
  };
  makeOutput(shape: number[], dtype: tf.DataType, memoryOffset?: number): tf.TensorInfo;
  /** Makes the data of `dataId`; with unset elements if `values` are null. */
  move(
    dataId: object,
    values: tf.backend_util.BackendValues | null,
    shape: number[],
    dtype: tf.DataType,
    refCount: number,
  ): void;
  incRef(id: object): void;
}

/** How the kernels compute. */
export interface KernelOptions {
  /** Whether matrix products use fused multiply-add; the runtime must have it. Default false. */
  fused?: boolean;
  /** The register tile, rows * 100 + columns; it changes the speed and no bit of a result. */
  tile?: number;
}

/** Scratch memory that is kept, in bytes; a larger block is given back at the next request. */
const KEPT = 256 * 2 ** 20;

/** Room for shapes and strides, in 32-bit numbers. */
const LIST = 256;

/** The module and the scratch memory of one backend instance. */
export class KernelContext {
  readonly backend: WasmBackend;
  #exports!: KernelExports;
  #tile = 0;
  #options: KernelOptions | null = null;
  #scratch = 0;
  #scratchBytes = 0;
  #list = 0;
  /** Outputs since the outermost kernel began, and how many kernels deep it is. */
  readonly #made: object[] = [];
  #depth = 0;

  constructor(backend: WasmBackend, options: KernelOptions) {
    this.backend = backend;
    this.configure(options);
  }

  /** Changes the options; the same object again costs nothing. */
  configure(options: KernelOptions): void {
    if (options === this.#options) return;
    const { fused = false, tile = fastestTile(fused) } = options;
    this.#exports = instantiateKernels(this.backend.wasm.asm.memory, fused);
    this.#tile = tile;
    this.#options = options;
  }

  /** What `kernel` answers; if it throws, the outputs that it had made are disposed. */
  run<I, A, R>(
    kernel: (context: KernelContext, inputs: I, attributes: A) => R,
    inputs: I,
    attributes: A,
  ): R {
    const first = this.#made.length;
    this.#depth++;
    try {
      return kernel(this, inputs, attributes);
    } catch (error) {
      for (const id of this.#made.slice(first)) this.backend.disposeData(id, true);
      throw error;
    } finally {
      this.#depth--;
      if (this.#depth === 0) this.#made.length = 0;
    }
  }

  /** The module's functions. */
  get exports(): KernelExports {
    return this.#exports;
  }

  /** The register tile of the matrix product, for as/gemm.ts. */
  get tile(): number {
    return this.#tile;
  }

  /** The byte address of a tensor's first element. */
  address({ dataId }: tf.TensorInfo): number {
    return this.backend.dataIdMap.get(dataId).memoryOffset!;
  }

  /** A new tensor with unset elements, which the caller (the engine, from a kernel) disposes. */
  output(shape: number[], dtype: tf.DataType): tf.TensorInfo {
    if (shape.some((size) => size < 0)) {
      throw new Error(`a tensor's sizes must be at least 0, received [${shape}]`);
    }
    const result = this.backend.makeOutput(shape, dtype);
    this.#made.push(result.dataId);
    return result;
  }

  /** The same data under another shape or a name of its own; nothing is copied. */
  share({ dataId, dtype }: tf.TensorInfo, shape: number[]): tf.TensorInfo {
    this.backend.incRef(dataId);
    return { dataId, shape, dtype };
  }

  /**
   * The address of at least `bytes` bytes, aligned to 16, until the next call: one block is kept,
   * grown as needed and freed with the backend's memory.
   */
  scratch(bytes: number): number {
    if (bytes < 0) bytes += 2 ** 32; // as an i32 of the module
    if (bytes > this.#scratchBytes || this.#scratchBytes > KEPT) {
      if (this.#scratch !== 0) this.backend.wasm._free(this.#scratch);
      this.#scratch = this.#scratchBytes = 0;
      const size = bytes > KEPT ? bytes : 2 ** Math.ceil(Math.log2(bytes));
      this.#scratch = this.#allocate(size);
      this.#scratchBytes = size;
    }
    return (this.#scratch + 15 & ~15) >>> 0;
  }

  /** The address of these integers, until the next call. */
  list(values: readonly number[]): number {
    if (values.length > LIST) {
      throw new Error(`${values.length} numbers for a kernel, limit ${LIST}`);
    }
    if (this.#list === 0) this.#list = this.#allocate(4 * LIST);
    new Int32Array(this.backend.wasm.HEAPU8.buffer, this.#list, LIST).set(values);
    return this.#list;
  }

  #allocate(bytes: number): number {
    // malloc would take the size modulo 2^32.
    const address = bytes < 2 ** 32 - 16 ? this.backend.wasm._malloc(bytes + 16) >>> 0 : 0;
    if (address === 0) throw new Error(`out of memory: no ${bytes} bytes of scratch memory`);
    return address;
  }
}
