/** Averages of the weights, used for evaluation and for the saved best weights. */
import type { z } from "../../core/options.ts";
import { averagingOptions, WeightAverage } from "../../optim/averaging.ts";
import type * as tf from "../../tensor/tf.ts";
import type { Callback, CallbackState } from "../hooks.ts";
import type { RunView } from "../run_view.ts";

/** Options of {@link ExponentialMovingAverage}. */
export const exponentialMovingAverageOptions: z.ZodObject = averagingOptions;

/**
 * Averages the parameters after every `update_every`-th update past `update_after_step`: `kind`
 * "ema" with `decay`, or "swa"; the first one copies (torch's AveragedModel). Buffers are averaged
 * with `use_buffers`. During validation and test the averages stand in for the weights.
 */
export class ExponentialMovingAverage implements Callback {
  readonly name = "ExponentialMovingAverage";
  readonly #average: WeightAverage;

  constructor(params: Record<string, unknown> = {}, path = "callbacks.ExponentialMovingAverage") {
    this.#average = new WeightAverage(params, path, this.name);
  }

  setup(): void {
    this.#average.dispose();
  }

  updateEnd(run: RunView): void {
    const updates = run.state.iteration - run.state.skipped;
    if (this.#average.isDue(updates)) this.#average.update(this.#weights(run), updates);
  }

  evaluationStart(run: RunView): void {
    this.#average.swapIn(this.#weights(run));
  }

  evaluationEnd(run: RunView): void {
    this.#average.swapOut(this.#weights(run));
  }

  state(): CallbackState {
    return this.#average.state();
  }

  load({ tensors, meta }: Required<CallbackState>): void {
    this.#average.load(tensors, Number(meta.n_averaged));
  }

  dispose(): void {
    this.#average.dispose();
  }

  #weights({ model }: RunView): Record<string, tf.Variable> {
    return this.#average.useBuffers ? { ...model.parameters, ...model.buffers } : model.parameters;
  }
}
