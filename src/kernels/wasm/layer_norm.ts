/** Layer and root-mean-square normalisation of the last axis, on as/layer_norm.ts: see src/nn. */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Attributes, Inputs, KernelRows } from "./kernel.ts";

/**
 * The rows of the kernel table. `DownhillNorm` answers y and the mean and reciprocal root of every
 * row; without `bias` the norm is not centred. The gradients are those of x, gain and bias.
 */
export const layerNormKernels: KernelRows = {
  DownhillNorm: norm,
  DownhillNormGrad: normGrad,
};

/** How many rows a tensor has before its last axis, and how long they are. */
export function rowsOf({ shape }: tf.TensorInfo): { rows: number; columns: number } {
  return { rows: tf.util.sizeFromShape(shape.slice(0, -1)), columns: shape[shape.length - 1] };
}

function norm(context: KernelContext, inputs: Inputs, { eps }: Attributes): tf.TensorInfo[] {
  const { x, gain, bias } = inputs;
  const { rows, columns } = rowsOf(x);
  const y = context.output(x.shape, "float32");
  const stats = context.output([rows, 2], "float32");
  if (rows * columns === 0) return [y, stats];
  context.exports.f32_layer_norm(
    ...[rows, columns, context.address(x), context.address(gain)] as const,
    ...[bias === undefined ? 0 : context.address(bias), eps as number] as const,
    ...[bias === undefined ? 0 : 1, context.address(y), context.address(stats)] as const,
  );
  return [y, stats];
}

function normGrad(
  context: KernelContext,
  { x, gain, stats, dy }: Inputs,
  { isCentred }: Attributes,
): tf.TensorInfo[] {
  const { rows, columns } = rowsOf(x);
  const dx = context.output(x.shape, "float32");
  const dGain = context.output(gain.shape, "float32");
  const dBias = isCentred ? context.output(gain.shape, "float32") : undefined;
  const results = dBias === undefined ? [dx, dGain] : [dx, dGain, dBias];
  context.exports.f32_layer_norm_grad(
    ...[rows, columns, ...[x, gain, stats, dy].map((t) => context.address(t))] as Six,
    ...[isCentred ? 1 : 0, context.address(dx), context.address(dGain)] as const,
    dBias === undefined ? 0 : context.address(dBias),
    context.scratch(8 * columns),
  );
  return results;
}

type Six = [number, number, number, number, number, number];
