/** Makes a tfjs backend current for a test file. */
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-backend-wasm";
import * as tf from "../../src/tensor/tf.ts";

/** Sets the backend `name` (stock kernels) and waits until it is ready. */
export async function useBackend(name: "cpu" | "wasm"): Promise<void> {
  await tf.setBackend(name);
  await tf.ready();
}
