/** The compiled kernels, on a memory. */
import { fused, type KernelExports, plain } from "./module.generated.ts";

export type { KernelExports } from "./module.generated.ts";

/** Compiled once for all memories, by their text. */
const modules = new Map<string, WebAssembly.Module>();

/**
 * The kernels on `memory`. They have no state and touch only what their arguments name.
 *
 * @param isFused Whether the matrix products are those with fused multiply-add.
 */
export function instantiateKernels(memory: WebAssembly.Memory, isFused: boolean): KernelExports {
  const instantiate = (base64: string): WebAssembly.Exports =>
    new WebAssembly.Instance(compile(base64), { env: { memory } }).exports;
  const exports = isFused ? { ...instantiate(plain), ...instantiate(fused) } : instantiate(plain);
  return exports as unknown as KernelExports;
}

function compile(base64: string): WebAssembly.Module {
  let module = modules.get(base64);
  if (module === undefined) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    modules.set(base64, module = new WebAssembly.Module(bytes));
  }
  return module;
}
