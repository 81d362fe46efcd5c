/**
 * NLinear (Zeng et al., "Are Transformers Effective for Time Series Forecasting?", AAAI 2023): a
 * linear map over time of the window less its last value, which is added back to the forecast.
 */
import { flag, integer, object, parseOptions, type z } from "../core/options.ts";
import { type LinearVariables, Variables } from "../nn/variables.ts";
import * as tf from "../tensor/tf.ts";
import { channelLinear, channelLinearVariables } from "./channel_linear.ts";
import { inputsOf } from "./inputs.ts";
import type { Batch, Model, ModelContext } from "./model.ts";

/** Options of {@link NLinear}. */
export interface NLinearOptions {
  /** Time steps in. */
  readonly inputLength: number;
  /** Time steps out. */
  readonly outputLength: number;
  readonly channels: number;
  /** A linear map of its own for every channel. @default false */
  readonly individual?: boolean;
}

const schema = object({
  inputLength: integer(1),
  outputLength: integer(1),
  channels: integer(1),
  individual: flag().default(false),
});

/** Schema of {@link NLinearOptions}. */
export const nlinearSchema: z.ZodObject = schema;

/** Maps `inputs` [batch, inputLength, channels] to [batch, outputLength, channels]. */
export class NLinear implements Model {
  readonly parameters: Record<string, tf.Variable>;
  readonly #options: Required<NLinearOptions>;
  readonly #linear: LinearVariables;

  constructor(params: NLinearOptions, context: ModelContext, path = "params") {
    this.#options = parseOptions(schema, params, path, "NLinear");
    const variables = new Variables(context.random);
    this.#linear = channelLinearVariables(variables, "linear", this.#options);
    this.parameters = variables.parameters;
  }

  forward(batch: Batch): tf.Tensor {
    const { inputLength, channels } = this.#options;
    const x = inputsOf(batch, [inputLength, channels], "NLinear");
    const last = tf.slice(x, [0, inputLength - 1, 0], [x.shape[0], 1, channels]);
    return tf.add(channelLinear(tf.sub(x, last), this.#linear), last);
  }

  dispose(): void {
    tf.dispose(this.parameters);
  }
}
