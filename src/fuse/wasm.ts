/**
 * Functions on a WebAssembly memory, compiled once for each memory that runs them.
 *
 * A memory belongs to one backend instance; when the backend goes, its functions go with the memory.
 */
import type { Loop } from "./loop.ts";
import { wasmModule } from "./wasm_module.ts";

/** A function of numbers, addresses in bytes among them. */
export type WasmRun = (...args: number[]) => number | void;

/**
 * The function of `loop` on `memory`, one of the two that `wasm_module.ts` describes; undefined where
 * the runtime lacks SIMD.
 */
export function wasmLoop(
  loop: Loop,
  memory: WebAssembly.Memory,
  inPlace: boolean,
): WasmRun | undefined {
  // A loop's key is long: as it is, its hash is known.
  const key = inPlace ? loop.key : `${loop.key} elsewhere`;
  return wasmFunction(key, memory, (shared) => wasmModule(loop, inPlace, shared));
}

/**
 * What the module of `bytes` exports as `run`; undefined where the runtime does not take it.
 *
 * @param key Equal for equal modules.
 */
export function wasmFunction(
  key: string,
  memory: WebAssembly.Memory,
  bytes: (shared: boolean) => Uint8Array<ArrayBuffer>,
): WasmRun | undefined {
  let functions = instances.get(memory);
  if (functions === undefined) instances.set(memory, functions = new Map());
  if (!functions.has(key)) {
    const module = moduleOf(key, memory, bytes);
    const instance = module && new WebAssembly.Instance(module, { env: { memory } });
    functions.set(key, instance?.exports.run as WasmRun | undefined);
  }
  return functions.get(key);
}

const instances = new WeakMap<WebAssembly.Memory, Map<string, WasmRun | undefined>>();

const modules = new Map<string, WebAssembly.Module | undefined>();

function moduleOf(
  key: string,
  memory: WebAssembly.Memory,
  bytes: (shared: boolean) => Uint8Array<ArrayBuffer>,
): WebAssembly.Module | undefined {
  const shared = typeof SharedArrayBuffer !== "undefined" &&
    memory.buffer instanceof SharedArrayBuffer;
  const kind = `${shared} ${key}`;
  if (!modules.has(kind)) {
    const code = bytes(shared);
    modules.set(kind, WebAssembly.validate(code) ? new WebAssembly.Module(code) : undefined);
  }
  return modules.get(kind);
}
