/** A multilayer perceptron over the flattened input: linear, activation and dropout, then linear. */
import { ConfigError } from "../core/errors.ts";
import { below, integer, list, object, oneOf, parseOptions, type z } from "../core/options.ts";
import { dropout } from "../nn/dropout.ts";
import { gelu } from "../nn/gelu.ts";
import { linear } from "../nn/linear.ts";
import { type LinearVariables, Variables } from "../nn/variables.ts";
import * as tf from "../tensor/tf.ts";
import { inputsOf } from "./inputs.ts";
import type { Batch, ForwardContext, Model, ModelContext } from "./model.ts";

/**
 * Options of {@link Mlp}: the input is given by `inputSize` (numbers a sample), or by `inputLength`
 * and `channels`; the output by `outputSize`, or by `outputLength` and `channels`.
 */
export interface MlpOptions {
  readonly inputSize?: number;
  readonly inputLength?: number;
  readonly outputSize?: number;
  readonly outputLength?: number;
  readonly channels?: number;
  /** Widths of the hidden layers. @default [128] */
  readonly hidden?: readonly number[];
  /** @default "relu" */
  readonly activation?: "relu" | "tanh" | "gelu";
  /** Dropout rate after each activation. @default 0 */
  readonly dropout?: number;
}

const schema = object({
  inputSize: integer(1).optional(),
  inputLength: integer(1).optional(),
  outputSize: integer(1).optional(),
  outputLength: integer(1).optional(),
  channels: integer(1).optional(),
  hidden: list(integer(1), "must be an array of integers >= 1").default([128]),
  activation: oneOf(["relu", "tanh", "gelu"]).default("relu"),
  dropout: below(0, 1).default(0),
});

/** Schema of {@link MlpOptions}. */
export const mlpSchema: z.ZodObject = schema;

const activations: Record<string, (x: tf.Tensor) => tf.Tensor> = {
  relu: (x) => tf.relu(x),
  tanh: (x) => tf.tanh(x),
  gelu,
};

/**
 * Maps `inputs` [batch, ...], flattened, to [batch, outputSize], or to
 * [batch, outputLength, channels]. Parameters are `layers.0.weight`, `layers.0.bias`, ...
 */
export class Mlp implements Model {
  readonly parameters: Record<string, tf.Variable>;
  readonly #options: z.output<typeof schema>;
  readonly #layers: readonly LinearVariables[];
  readonly #inputSize: number;
  readonly #outputShape: readonly number[];

  constructor(params: MlpOptions, context: ModelContext, path = "params") {
    const options = this.#options = parseOptions(schema, params, path, "Mlp");
    this.#inputSize = sizeOf(options, "input", path).reduce((a, b) => a * b);
    this.#outputShape = sizeOf(options, "output", path);
    const outputSize = this.#outputShape.reduce((a, b) => a * b);
    const variables = new Variables(context.random);
    const widths = [this.#inputSize, ...options.hidden, outputSize];
    this.#layers = widths.slice(1).map((width, i) =>
      variables.linear(`layers.${i}`, widths[i], width)
    );
    this.parameters = variables.parameters;
  }

  forward(batch: Batch, context: ForwardContext): tf.Tensor {
    const { dropout: rate, activation } = this.#options;
    const sizes = batch.inputs?.shape.slice(1) ?? [];
    const inputs = inputsOf(batch, sizes, "Mlp");
    const flat = sizes.reduce((a, b) => a * b, 1);
    if (flat !== this.#inputSize) inputsOf(batch, [this.#inputSize], "Mlp");
    let x: tf.Tensor = tf.reshape(inputs, [inputs.shape[0], flat]);
    const last = this.#layers.length - 1;
    this.#layers.forEach(({ weight, bias }, i) => {
      x = linear(x, weight, bias);
      if (i === last) return;
      const random = context.random.fork(`layers.${i}`);
      x = dropout(activations[activation](x), rate, { training: context.training, random });
    });
    return tf.reshape(x, [inputs.shape[0], ...this.#outputShape]);
  }

  dispose(): void {
    tf.dispose(this.parameters);
  }
}

/** [size] or [length, channels], whichever is given. */
function sizeOf(
  options: z.output<typeof schema>,
  end: "input" | "output",
  path: string,
): readonly number[] {
  const size = options[`${end}Size`];
  const length = options[`${end}Length`];
  if (size !== undefined && length !== undefined) {
    throw new ConfigError(path, `give '${end}Size' or '${end}Length', received both`);
  }
  if (size !== undefined) return [size];
  if (length === undefined || options.channels === undefined) {
    throw new ConfigError(
      path,
      `needs '${end}Size', or '${end}Length' and 'channels', received ${
        length === undefined ? "neither" : `'${end}Length' alone`
      }`,
    );
  }
  return [length, options.channels];
}
