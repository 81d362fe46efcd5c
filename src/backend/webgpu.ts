/** tfjs' WebGPU backend on an adapter that was looked at first. */
import { runtime } from "../core/host.ts";
import type * as tf from "../tensor/tf.ts";

/** The adapter of a WebGPU backend: how it names itself, and whether it computes on the CPU. */
export interface AdapterName {
  readonly name: string;
  readonly software: boolean;
}

/** The limits that tfjs' shaders count on, asked for as high as the adapter goes. */
const LIMITS = [
  "maxBufferSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBufferBindingSize",
] as const;

const FEATURES = ["timestamp-query", "bgra8unorm-storage"] as const;

const SOFTWARE = /llvmpipe|lavapipe|softpipe|swiftshader|\bwarp\b|basic render|software/i;

const adapters = new WeakMap<tf.KernelBackend, AdapterName>();

/**
 * Makes the backend. In Node and Bun the optional npm package `webgpu` (Dawn) brings WebGPU.
 *
 * Disposing the backend (`tf.removeBackend("webgpu")`, `tf.engine().reset()`) destroys its device.
 *
 * @param takeSoftware Whether an adapter that computes on the CPU is taken too.
 * @throws {Error} With the reason: no WebGPU, no adapter, a software adapter, no device.
 */
export async function openWebgpu(takeSoftware: boolean): Promise<tf.KernelBackend> {
  const gpu = await findGpu();
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" }) ??
    (takeSoftware ? await gpu.requestAdapter({ forceFallbackAdapter: true }) : null);
  if (adapter === null) throw new Error("no adapter answers");
  const name = describe(adapter.info, adapter);
  if (name.software && !takeSoftware) throw new Error(softwareRefused(name));
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]])),
  });
  const { WebGPUBackend } = await import("@tensorflow/tfjs-backend-webgpu");
  const backend = new WebGPUBackend(device, adapter.info);
  const dispose = backend.dispose.bind(backend);
  backend.dispose = () => {
    dispose();
    device.destroy();
  };
  adapters.set(backend, name);
  return backend;
}

/** The adapter of a WebGPU backend, whoever made it. */
export function adapterOf(backend: tf.KernelBackend): AdapterName {
  const { device } = backend as unknown as { device?: { adapterInfo?: GPUAdapterInfo } };
  return adapters.get(backend) ?? describe(device?.adapterInfo);
}

/** The reason why `auto` leaves a software adapter alone. */
export function softwareRefused({ name }: AdapterName): string {
  return `${name} is a software adapter, which only an explicit "webgpu" takes`;
}

function describe(
  info?: Partial<GPUAdapterInfo>,
  adapter?: { isFallbackAdapter?: boolean },
): AdapterName {
  const { vendor = "", architecture = "", device = "", description = "" } = info ?? {};
  const short = [vendor, architecture, device].filter((part) => part !== "").join(" ");
  const fallback = info?.isFallbackAdapter ?? adapter?.isFallbackAdapter ?? false;
  return {
    name: description || short || "an adapter without a name",
    software: fallback || SOFTWARE.test(`${short} ${description}`),
  };
}

interface Dawn {
  create(options: string[]): GPU;
  globals: Record<string, unknown>;
}

/** `navigator.gpu`, brought by the npm package `webgpu` where the runtime lacks it. */
async function findGpu(): Promise<GPU> {
  const scope = globalThis as { navigator?: { gpu?: GPU } };
  if (scope.navigator?.gpu !== undefined) return scope.navigator.gpu;
  if (runtime !== "node" && runtime !== "bun") throw new Error("this runtime has no WebGPU");
  const { create, globals } = await importDawn("webgpu");
  for (const [name, value] of Object.entries(globals)) {
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value });
  }
  // Dawn crashes when its instance is collected before its devices: it stays on the global object,
  // where tfjs looks for it too.
  const gpu = create([]);
  if (scope.navigator === undefined) {
    Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  }
  Object.defineProperty(scope.navigator, "gpu", { value: gpu, configurable: true });
  return gpu;
}

/** `id` is a variable, so that bundlers leave the native package alone. */
async function importDawn(id: string): Promise<Dawn> {
  try {
    return await import(id) as Dawn;
  } catch (error) {
    const { code } = error as { code?: string };
    throw code === "ERR_MODULE_NOT_FOUND"
      ? new Error(`the optional npm package ${id} is not installed`)
      : error;
  }
}
