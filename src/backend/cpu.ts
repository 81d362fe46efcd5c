/** tfjs' plain JavaScript backend. */
import type * as tf from "../tensor/tf.ts";

/** Makes the backend, without the banner that it prints in Node, Deno and Bun at its first tensor. */
export async function openCpu(): Promise<tf.KernelBackend> {
  const { MathBackendCPU } = await import("@tensorflow/tfjs-backend-cpu");
  const backend = new MathBackendCPU();
  (backend as unknown as { firstUse: boolean }).firstUse = false;
  return backend;
}
