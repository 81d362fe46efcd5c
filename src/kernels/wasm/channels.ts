/** Operations on channels first, done on channels last. */
import type * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import { transpose } from "./copy.ts";
import type { Epilogue } from "./gemm.ts";
import type { Window } from "./window.ts";

/**
 * Runs `compute` on an image with channels last. If the operation has them first, its input is
 * transposed, so are the operands of the epilogue, and the result is transposed back.
 */
export function onChannelsLast(
  context: KernelContext,
  window: Window,
  x: tf.TensorInfo,
  epilogue: Epilogue,
  compute: (image: tf.TensorInfo, epilogue: Epilogue) => tf.TensorInfo,
): tf.TensorInfo {
  if (!window.isChannelsFirst) return compute(x, epilogue);
  const owned: tf.TensorInfo[] = [];
  const last = (tensor: tf.TensorInfo): tf.TensorInfo => {
    owned.push(toChannelsLast(context, tensor));
    return owned.at(-1)!;
  };
  const operand = (tensor: tf.TensorInfo | undefined): tf.TensorInfo | undefined => {
    // A list of numbers belongs to the channels in both formats.
    if (tensor === undefined || tensor.shape.length < 2) return tensor;
    return last({ ...tensor, shape: [1, 1, 1, 1, ...tensor.shape].slice(-4) });
  };
  const after = { ...epilogue, bias: operand(epilogue.bias), slopes: operand(epilogue.slopes) };
  const y = compute(last(x), after);
  const result = transpose(context, y, [0, 3, 1, 2]);
  for (const { dataId } of [...owned, y]) context.backend.disposeData(dataId);
  return result;
}

/** [n, c, h, w] as a new tensor [n, h, w, c]. */
export function toChannelsLast(context: KernelContext, x: tf.TensorInfo): tf.TensorInfo {
  return transpose(context, x, [0, 2, 3, 1]);
}

/** The shape of the output with channels last. */
export function channelsLastShape({ outShape, isChannelsFirst }: Window): number[] {
  if (!isChannelsFirst) return outShape;
  const [batch, channels, ...space] = outShape;
  return [batch, ...space, channels];
}
