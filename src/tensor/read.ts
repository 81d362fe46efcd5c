/** Reading tensors back without stalling more than once. */
import * as tf from "./tf.ts";

/** Reads tensors of any shapes into one array, in order, in one transfer. The tensors stay alive. */
export async function readTogether(tensors: readonly tf.Tensor[]): Promise<Float64Array> {
  if (tensors.length === 1) return Float64Array.from(await tensors[0].data());
  const joined = tf.tidy(() => {
    const floats = tensors.map((t) => t.dtype === "float32" ? t : tf.cast(t, "float32"));
    return floats.every(({ rank }) => rank === 0)
      ? tf.stack(floats)
      : tf.concat(floats.map((t) => tf.reshape(t, [t.size])));
  });
  const values = Float64Array.from(await joined.data());
  joined.dispose();
  return values;
}
