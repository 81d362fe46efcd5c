/** Cross-entropy of rows of scores and integer labels, on as/cross_entropy.ts: see src/nn. */
import type * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Attributes, Inputs, KernelRows } from "./kernel.ts";
import { rowsOf } from "./layer_norm.ts";

/** The rows of the kernel table. The first answers the losses and the maximum and sum of every row. */
export const crossEntropyKernels: KernelRows = {
  DownhillCrossEntropy: crossEntropy,
  DownhillCrossEntropyGrad: crossEntropyGrad,
};

function crossEntropy(
  context: KernelContext,
  { scores, labels }: Inputs,
  { ignoreIndex, labelSmoothing }: Attributes,
): tf.TensorInfo[] {
  const { rows, columns } = rowsOf(scores);
  const loss = context.output(labels.shape, "float32");
  const stats = context.output([rows, 2], "float32");
  const [from, at, to, sums] = [scores, labels, loss, stats].map((x) => context.address(x));
  const rule = [ignoreIndex as number, labelSmoothing as number] as const;
  context.exports.f32_cross_entropy(rows, columns, from, at, ...rule, to, sums);
  return [loss, stats];
}

function crossEntropyGrad(
  context: KernelContext,
  { scores, labels, stats, dy }: Inputs,
  { ignoreIndex, labelSmoothing }: Attributes,
): tf.TensorInfo {
  const { rows, columns } = rowsOf(scores);
  const dx = context.output(scores.shape, "float32");
  const [from, at, sums, d, to] = [scores, labels, stats, dy, dx].map((x) => context.address(x));
  const rule = [ignoreIndex as number, labelSmoothing as number] as const;
  context.exports.f32_cross_entropy_grad(rows, columns, from, at, ...rule, sums, d, to);
  return dx;
}
