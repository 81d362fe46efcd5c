/**
 * DLinear (Zeng et al., "Are Transformers Effective for Time Series Forecasting?", AAAI 2023).
 *
 *     trend = movingAverage(x),   y = seasonal(x - trend) + trendMap(trend)
 *
 * with linear maps over time. Initial weights are those of torch's Linear (revisions of the authors'
 * code differ: some start from 1 / inputLength).
 */
import { show } from "../core/errors.ts";
import { flag, integer, object, parseOptions, type z } from "../core/options.ts";
import { movingAverage } from "../nn/moving_average.ts";
import { type LinearVariables, Variables } from "../nn/variables.ts";
import * as tf from "../tensor/tf.ts";
import { channelLinear, channelLinearVariables } from "./channel_linear.ts";
import { inputsOf } from "./inputs.ts";
import type { Batch, Model, ModelContext } from "./model.ts";

/** Options of {@link DLinear}. */
export interface DLinearOptions {
  /** Time steps in. */
  readonly inputLength: number;
  /** Time steps out. */
  readonly outputLength: number;
  readonly channels: number;
  /** Window of the moving average, odd. @default 25 */
  readonly kernel?: number;
  /** Linear maps of their own for every channel. @default false */
  readonly individual?: boolean;
}

const schema = object({
  inputLength: integer(1),
  outputLength: integer(1),
  channels: integer(1),
  kernel: integer(1).refine((value) => value % 2 === 1, {
    error: (issue) => `must be an odd integer, received ${show(issue.input)}`,
  }).default(25),
  individual: flag().default(false),
});

/** Schema of {@link DLinearOptions}. */
export const dlinearSchema: z.ZodObject = schema;

/** Maps `inputs` [batch, inputLength, channels] to [batch, outputLength, channels]. */
export class DLinear implements Model {
  readonly parameters: Record<string, tf.Variable>;
  readonly #options: Required<DLinearOptions>;
  readonly #seasonal: LinearVariables;
  readonly #trend: LinearVariables;

  constructor(params: DLinearOptions, context: ModelContext, path = "params") {
    this.#options = parseOptions(schema, params, path, "DLinear");
    const variables = new Variables(context.random);
    this.#seasonal = channelLinearVariables(variables, "seasonal", this.#options);
    this.#trend = channelLinearVariables(variables, "trend", this.#options);
    this.parameters = variables.parameters;
  }

  forward(batch: Batch): tf.Tensor {
    const { inputLength, channels, kernel } = this.#options;
    const x = inputsOf(batch, [inputLength, channels], "DLinear");
    const trend = movingAverage(x, kernel);
    return tf.add(
      channelLinear(tf.sub(x, trend), this.#seasonal),
      channelLinear(trend, this.#trend),
    );
  }

  dispose(): void {
    tf.dispose(this.parameters);
  }
}
