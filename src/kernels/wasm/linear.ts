/** Linear maps of the last axis and the gradient of their weights, on as/gemm.ts: see src/nn. */
import type { KernelContext } from "./context.ts";
import { matMul } from "./gemm.ts";
import type { Inputs, KernelRows } from "./kernel.ts";
import { rowsOf } from "./layer_norm.ts";
import type * as tf from "../../tensor/tf.ts";

/** The rows of the kernel table: x W + b, dy W', x' dy over all rows, and the sum of dy over them. */
export const linearKernels: KernelRows = {
  DownhillLinear: (context, { x, weight, bias }) => linear(context, x, weight, false, bias),
  DownhillLinearInputGrad: (context, { dy, weight }) => linear(context, dy, weight, true),
  DownhillLinearWeightGrad: (context, { x, dy }) =>
    matMul(context, asRows(x), asRows(dy), true, false, {}),
  DownhillLinearBiasGrad: biasGrad,
};

function asRows(x: tf.TensorInfo): tf.TensorInfo {
  const { rows, columns } = rowsOf(x);
  return { ...x, shape: [rows, columns] };
}

function linear(
  context: KernelContext,
  x: tf.TensorInfo,
  weight: tf.TensorInfo,
  transposeB: boolean,
  bias?: tf.TensorInfo,
): tf.TensorInfo {
  const y = matMul(context, asRows(x), weight, false, transposeB, { bias })!;
  return { ...y, shape: [...x.shape.slice(0, -1), y.shape[1]] };
}

function biasGrad(context: KernelContext, { dy }: Inputs): tf.TensorInfo {
  const { rows, columns } = rowsOf(dy);
  const dBias = context.output([columns], "float32");
  const [from, to] = [context.address(dy), context.address(dBias)];
  if (rows === 0) context.exports.b32_fill(columns, to, 0);
  else {
    const scratch = context.scratch(context.exports.f32_sum_columns_scratch());
    context.exports.f32_sum_columns(1, rows, columns, from, to, 1, scratch);
  }
  return dBias;
}
