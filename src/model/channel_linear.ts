/** A linear map over time, one for all channels or one for each: the core of DLinear and NLinear. */
import { linearBias, uniform } from "../nn/init.ts";
import { linear } from "../nn/linear.ts";
import type { LinearVariables, Variables } from "../nn/variables.ts";
import * as tf from "../tensor/tf.ts";

/** Sizes of a {@link channelLinear}. */
export interface ChannelLinearOptions {
  readonly inputLength: number;
  readonly outputLength: number;
  readonly channels: number;
  /** A map of its own for every channel. */
  readonly individual: boolean;
}

/**
 * `name.weight` [in, out] and `name.bias` [out], or, individual, [channels, in, out] and
 * [channels, 1, out]; uniform within 1 / sqrt(in), as torch's Linear.
 */
export function channelLinearVariables(
  variables: Variables,
  name: string,
  { inputLength, outputLength, channels, individual }: ChannelLinearOptions,
): LinearVariables {
  if (!individual) return variables.linear(name, inputLength, outputLength);
  const bound = 1 / Math.sqrt(inputLength);
  return {
    weight: variables.parameter(
      `${name}.weight`,
      [channels, inputLength, outputLength],
      uniform(-bound, bound),
    ),
    bias: variables.parameter(
      `${name}.bias`,
      [channels, 1, outputLength],
      linearBias(inputLength),
    ),
  };
}

/** [batch, in, channels] -> [batch, out, channels]. */
export function channelLinear(x: tf.Tensor, { weight, bias }: LinearVariables): tf.Tensor {
  if (weight.rank === 2) {
    return tf.transpose(linear(tf.transpose(x, [0, 2, 1]), weight, bias), [0, 2, 1]);
  }
  const product = tf.matMul(tf.transpose(x, [2, 0, 1]), weight);
  return tf.transpose(tf.add(product, bias), [1, 2, 0]);
}
