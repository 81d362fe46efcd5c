/** Reading tensors back without stalling more than once. */
import * as tf from "./tf.ts";

/**
 * Reads tensors of any shapes into one array, in order: one transfer where a read is a stall
 * (WebGPU), a read each where the memory is the host's. The tensors stay alive.
 */
export async function readTogether(tensors: readonly tf.Tensor[]): Promise<Float64Array> {
  if (tensors.length > 1 && tf.getBackend() === "webgpu") {
    const joined = tf.tidy(() =>
      tf.concat(tensors.map((t) => tf.reshape(tf.cast(t, "float32"), [t.size])))
    );
    const values = Float64Array.from(await joined.data());
    joined.dispose();
    return values;
  }
  const parts = await Promise.all(tensors.map((t) => t.data()));
  const out = new Float64Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
