/** What the fused convolutions do after their product: bias and activation, on as/epilogue.ts. */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import { activationNumber, type Epilogue, float32Bits } from "./gemm.ts";
import type { Attributes, Inputs } from "./kernel.ts";
import { broadcastStrides, forEachOffset, stridesOf } from "./strides.ts";

/** What a fused operation does after its product; undefined for what no kernel here does. */
export function epilogueOf(
  { bias, preluActivationWeights }: Inputs,
  { activation, leakyreluAlpha }: Attributes,
): Epilogue | undefined {
  const name = activation as string | undefined ?? "linear";
  if (activationNumber(name) === undefined) return undefined;
  return {
    bias,
    activation: name,
    slopes: name === "prelu" ? preluActivationWeights : undefined,
    slope: leakyreluAlpha as number | undefined,
  };
}

/** Whether bias and slopes are one number, or one a channel. */
export function isByChannel({ bias, slopes }: Epilogue, shape: readonly number[]): boolean {
  return [bias, slopes].every((operand) =>
    operand === undefined ||
    broadcastStrides(operand.shape, shape).every((s, axis) => s === 0 || axis === shape.length - 1)
  );
}

/** Bias and activation over a finished tensor, with operands of any shape that broadcasts. */
export function finish(context: KernelContext, y: tf.TensorInfo, epilogue: Epilogue): void {
  const { bias, slopes, activation, slope } = epilogue;
  if (y.shape.includes(0)) return;
  const rank = y.shape.length;
  const [b, a] = [bias, slopes].map((operand) =>
    operand === undefined ? y.shape.map(() => 0) : broadcastStrides(operand.shape, y.shape)
  );
  const columns = y.shape[rank - 1];
  const isOne = isByChannel(epilogue, y.shape);
  const rows = isOne ? tf.util.sizeFromShape(y.shape) / columns : y.shape[rank - 2];
  const outer = isOne ? [] : y.shape.slice(0, -2);
  const to = context.address(y);
  const fromBias = bias === undefined ? 0 : context.address(bias);
  const fromSlopes = slopes === undefined
    ? context.list([float32Bits(slope ?? 0)])
    : context.address(slopes);
  forEachOffset(
    outer,
    [stridesOf(y.shape), b, a],
    ([at, atBias, atSlopes]) =>
      context.exports.f32_epilogue(
        ...[rows, columns, to + 4 * at, 4 * columns] as const,
        ...[fromBias + 4 * atBias, b[rank - 2], b[rank - 1]] as const,
        activationNumber(activation ?? "linear")!,
        ...[fromSlopes + 4 * atSlopes, a[rank - 2], a[rank - 1]] as const,
      ),
  );
}
