/** tfjs' WebAssembly backend, without its threads and without its process listeners. */
import { baseUrl, hostProcess, runtime } from "../core/host.ts";
import * as tf from "../tensor/tf.ts";

type Listener = (...args: unknown[]) => void;

const EVENTS = ["uncaughtException", "unhandledRejection"];

/** tfjs' own factory, which the registry forgets when the backend is removed. */
let factory: ReturnType<typeof tf.findBackendFactory> | null = null;

/** The folder of tfjs' .wasm files, where one was named. */
let folder: string | undefined;

/**
 * Where tfjs' .wasm files are, for the other threads of the program: as an address in a browser,
 * where a thread takes a relative one from its own script, not from the page.
 */
export function wasmFolder(): string | undefined {
  if (runtime !== "browser") return folder;
  return new URL(folder ?? ".", baseUrl()).href;
}

/** Loads tfjs' module and remembers its factory; to be called before anyone removes the backend. */
export async function loadWasm(): Promise<typeof import("@tensorflow/tfjs-backend-wasm")> {
  const module = await import("@tensorflow/tfjs-backend-wasm");
  factory ??= tf.findBackendFactory("wasm");
  return module;
}

/**
 * Makes the backend.
 *
 * The threaded build is never taken: its memory is shared, and our kernels and workers want the
 * private memory that the other two builds have in every runtime.
 *
 * @param path Where a browser finds tfjs' .wasm files (a folder); that of the page, or of a worker's script, if left out.
 */
export async function openWasm(path?: string): Promise<tf.KernelBackend> {
  const { setWasmPaths } = await loadWasm();
  if (factory === null) throw new Error("its factory was removed from the tfjs registry");
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  const before = EVENTS.map(listeners);
  try {
    if (path !== undefined) setWasmPaths(folder = path.endsWith("/") ? path : `${path}/`);
    return keepListeners(await factory());
  } catch (error) {
    if (runtime !== "browser") throw error;
    throw new Error(
      "tfjs' .wasm files cannot be loaded; wasmPath names the folder that serves them",
    );
  } finally {
    EVENTS.forEach((event, i) => dropRethrowers(event, before[i]));
  }
}

function listeners(event: string): Listener[] {
  return hostProcess?.listeners(event) ?? [];
}

/**
 * Takes off the listeners added since `before` that only throw their argument again: Emscripten
 * adds them in Node, and with them a program's own handlers of these events change their meaning.
 */
function dropRethrowers(event: string, before: readonly Listener[]): void {
  for (const listener of listeners(event)) {
    const isNew = !before.includes(listener);
    if (isNew && /^function *\((\w+)\) *\{[^;]{0,60}throw \1;?[\s}]*$/.test(String(listener))) {
      hostProcess?.off(event, listener);
    }
  }
}

/** When tfjs disposes the module it takes off every listener there was when the module was made. */
function keepListeners(backend: tf.KernelBackend): tf.KernelBackend {
  const process = hostProcess as { removeListener?: unknown } | undefined;
  if (process === undefined) return backend;
  const dispose = backend.dispose.bind(backend);
  backend.dispose = () => {
    const own = Object.getOwnPropertyDescriptor(process, "removeListener");
    process.removeListener = () => process;
    try {
      dispose();
    } finally {
      if (own === undefined) delete process.removeListener;
      else Object.defineProperty(process, "removeListener", own);
    }
  };
  return backend;
}
