/**
 * Puts our kernels over the entries of tfjs' registry for the backend `wasm`.
 *
 * A kernel that leaves its inputs to tfjs (another dtype, a rare case) answers undefined, and tfjs'
 * own entry is called. Registered once, the kernels serve every instance of the backend.
 */
import { declareDilatedGradients } from "../../tensor/convolution_gradients.ts";
import * as tf from "../../tensor/tf.ts";
import { KernelContext, type KernelOptions, type WasmBackend } from "./context.ts";
import { guardHeap, unguardHeap } from "./heap.ts";
import type { Attributes, Inputs, Kernel } from "./kernel.ts";
import { kernels } from "./table.ts";

const BACKEND = "wasm";

/** tfjs' entries that ours replaced, undefined where it has none; null while nothing is installed. */
let replaced: Map<string, tf.KernelConfig | undefined> | null = null;
let options: KernelOptions = {};
const contexts = new WeakMap<tf.KernelBackend, KernelContext>();

/**
 * Registers the kernels, or changes their options. Needs the backend's module to be imported, and a
 * runtime with 128-bit SIMD.
 */
export function installKernels(wanted: KernelOptions = {}): void {
  if (wanted.fused !== options.fused || wanted.tile !== options.tile) options = { ...wanted };
  if (replaced !== null) return;
  replaced = new Map();
  declareDilatedGradients(BACKEND, true);
  const live = tf.engine().registry[BACKEND];
  if (live !== undefined) guardHeap(live as WasmBackend);
  for (const [kernelName, kernel] of Object.entries(kernels)) {
    const stock = tf.getKernel(kernelName, BACKEND);
    replaced.set(kernelName, stock);
    if (stock !== undefined) tf.unregisterKernel(kernelName, BACKEND);
    tf.registerKernel({
      ...stock,
      kernelName,
      backendName: BACKEND,
      kernelFunc: withFallback(kernelName, kernel, stock?.kernelFunc),
    });
  }
}

/** Puts tfjs' own entries back. */
export function uninstallKernels(): void {
  for (const [kernelName, stock] of replaced ?? []) {
    tf.unregisterKernel(kernelName, BACKEND);
    if (stock !== undefined) tf.registerKernel(stock);
  }
  replaced = null;
  declareDilatedGradients(BACKEND, false);
  unguardHeap();
}

/** The kernels' context on a live wasm backend; undefined on tfjs' threaded build. */
export function contextOf(backend: tf.KernelBackend): KernelContext | undefined {
  let context = contexts.get(backend);
  if (context === undefined) {
    const { memory } = (backend as WasmBackend).wasm.asm;
    if (!(memory.buffer instanceof ArrayBuffer)) return undefined;
    context = new KernelContext(backend as WasmBackend, options);
    contexts.set(backend, context);
    guardHeap(backend as WasmBackend);
  }
  context.configure(options);
  return context;
}

function withFallback(
  name: string,
  kernel: Kernel,
  stock: tf.KernelFunc | undefined,
): tf.KernelFunc {
  return (call) => {
    const context = contextOf(call.backend as tf.KernelBackend);
    const result = context &&
      context.run(kernel, call.inputs as Inputs, (call.attrs ?? {}) as Attributes);
    if (result !== undefined) return result;
    if (stock !== undefined) return stock(call);
    const inputs = Object.values(call.inputs as Inputs).map((x) => `${x.dtype} [${x.shape}]`);
    throw new Error(`${name} has no wasm kernel for ${inputs.join(", ")}`);
  };
}
