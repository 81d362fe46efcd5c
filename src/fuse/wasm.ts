/**
 * Loops on a WebAssembly memory, compiled once for each memory that runs them.
 *
 * A memory belongs to one backend instance; when the backend goes, its loops go with the memory.
 */
import type { Loop } from "./loop.ts";
import { wasmModule } from "./wasm_module.ts";

/** `run(count, address of each tensor in bytes..., input...)`, in place. */
export type WasmRun = (...args: number[]) => void;

/** The function of `loop` on `memory`; undefined where the runtime lacks SIMD. */
export function wasmLoop(loop: Loop, memory: WebAssembly.Memory): WasmRun | undefined {
  let loops = instances.get(memory);
  if (loops === undefined) instances.set(memory, loops = new Map());
  if (!loops.has(loop.key)) {
    const module = moduleOf(loop, memory);
    const instance = module && new WebAssembly.Instance(module, { env: { memory } });
    loops.set(loop.key, instance?.exports.run as WasmRun | undefined);
  }
  return loops.get(loop.key);
}

const instances = new WeakMap<WebAssembly.Memory, Map<string, WasmRun | undefined>>();

const modules = new Map<string, WebAssembly.Module | undefined>();

function moduleOf(loop: Loop, memory: WebAssembly.Memory): WebAssembly.Module | undefined {
  const shared = typeof SharedArrayBuffer !== "undefined" &&
    memory.buffer instanceof SharedArrayBuffer;
  const key = `${shared} ${loop.key}`;
  if (!modules.has(key)) {
    const bytes = wasmModule(loop, shared);
    modules.set(key, WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : undefined);
  }
  return modules.get(key);
}
