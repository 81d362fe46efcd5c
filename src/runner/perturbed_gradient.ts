/** The gradient for optimizers that take it elsewhere than at the parameters (SAM). */
import type { Model } from "../model/model.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import * as tf from "../tensor/tf.ts";
import type { PassGradient } from "./gradients.ts";

/**
 * Takes the gradient of `pass`, lets the optimizer move the parameters by it, and takes it again
 * there over the same batch. Loss, metrics and buffers are those of the first pass; the optimizer
 * puts the parameters back with its update, or here if a pass fails or is not finite.
 */
export async function perturbedGradient(
  optimizer: Optimizer,
  model: Model,
  pass: () => Promise<PassGradient>,
): Promise<PassGradient> {
  const buffers = Object.values(model.buffers ?? {});
  const before = buffers.map((buffer) => tf.clone(buffer));
  const first = await pass().catch((error) => {
    tf.dispose(before);
    throw error;
  });
  const totals = await first.read();
  if (!totals.finite) {
    tf.dispose(before);
    return { ...first, read: () => Promise.resolve(totals) };
  }
  const after = buffers.map((buffer) => tf.clone(buffer));
  optimizer.perturb(first.grads, { scale: totals.scale });
  first.dispose();
  let finite = false;
  try {
    const second = await pass();
    const { scale, norm, ...rest } = await second.read();
    finite = rest.finite;
    const { lossSum, count, metricSums } = finite ? totals : rest;
    return {
      ...second,
      read: () => Promise.resolve({ scale, norm, lossSum, count, metricSums, finite }),
    };
  } finally {
    if (!finite) optimizer.restore();
    const kept = finite ? after : before;
    buffers.forEach((buffer, k) => buffer.assign(kept[k]));
    tf.dispose([before, after]);
  }
}
