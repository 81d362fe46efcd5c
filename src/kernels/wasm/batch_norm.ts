/**
 * `FusedBatchNorm` with statistics for each channel, on as/batch_norm.ts.
 *
 * The channels' numbers are repeated until they fill whole vectors, so that any count of channels
 * runs at the same speed. Statistics of the full shape are left to tfjs' kernel.
 */
import * as tf from "../../tensor/tf.ts";
import type { Kernel, KernelRows } from "./kernel.ts";

/** Floats that one round of the loop takes at least. */
const PERIOD = 64;

/** The rows of the kernel table. */
export const batchNormKernels: KernelRows = { FusedBatchNorm: fusedBatchNorm };

function fusedBatchNorm(
  context: Parameters<Kernel>[0],
  inputs: Parameters<Kernel>[1],
  { varianceEpsilon }: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  const { x, mean, variance } = inputs;
  const [offset, scale] = [inputs.offset, inputs.scale] as (tf.TensorInfo | undefined)[];
  const channels = x.shape[x.shape.length - 1];
  const perChannel = [mean, variance, offset, scale].every((t) =>
    t == null || (t.dtype === "float32" && tf.util.arraysEqual(t.shape, [channels]))
  );
  if (x.dtype !== "float32" || !perChannel) return undefined;
  const y = context.output(x.shape, "float32");
  const size = tf.util.sizeFromShape(x.shape);
  if (size === 0) return y;
  let period = channels;
  while (period % 4 !== 0) period *= 2;
  while (period < PERIOD) period *= 2;
  const scratch = context.scratch(12 * period);
  const { buffer } = context.backend.wasm.HEAPU8;
  const values = (t: tf.TensorInfo): Float32Array =>
    new Float32Array(buffer, context.address(t), channels);
  const [m, factor, b] = [0, 1, 2].map((i) =>
    new Float32Array(buffer, scratch + 4 * i * period, period)
  );
  const [from, v] = [values(mean), values(variance)];
  const [s, o] = [scale, offset].map((t) => t == null ? undefined : values(t));
  for (let j = 0; j < period; j++) {
    const c = j % channels;
    m[j] = from[c];
    factor[j] = (s === undefined ? 1 : s[c]) / Math.sqrt(v[c] + (varianceEpsilon as number));
    b[j] = o === undefined ? 0 : o[c];
  }
  const [pX, pY] = [context.address(x), context.address(y)];
  const [pMean, pFactor, pOffset] = [scratch, scratch + 4 * period, scratch + 8 * period];
  context.exports.f32_batch_norm(size, period, pX, pMean, pFactor, pOffset, pY);
  return y;
}
