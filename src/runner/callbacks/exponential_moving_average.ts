/** Averages of the parameters, used for evaluation and for the saved best weights. */
import { below, integer, object, parseOptions, type z } from "../../core/options.ts";
import * as tf from "../../tensor/tf.ts";
import type { Callback, CallbackState } from "../hooks.ts";
import type { RunView } from "../run_view.ts";

/** Options of {@link ExponentialMovingAverage}. */
export const exponentialMovingAverageOptions: z.ZodObject = object({
  decay: below(0, 1).default(0.999),
  update_every: integer(1).default(1),
  update_after_step: integer(0).default(0),
});

/**
 * average = decay * average + (1 - decay) * parameter, after every `update_every`-th update past
 * `update_after_step`; the first one copies (torch's AveragedModel with get_ema_multi_avg_fn).
 * Buffers are not averaged. During validation and test the averages stand in for the parameters.
 */
export class ExponentialMovingAverage implements Callback {
  readonly name = "ExponentialMovingAverage";
  readonly #decay: number;
  readonly #every: number;
  readonly #after: number;
  #averages: Record<string, tf.Tensor> = {};
  #raw: Record<string, tf.Tensor> | undefined;

  constructor(params: Record<string, unknown> = {}, path = "callbacks.ExponentialMovingAverage") {
    const options = parseOptions(
      exponentialMovingAverageOptions,
      params,
      path,
      "ExponentialMovingAverage",
    );
    this.#decay = options.decay as number;
    this.#every = options.update_every as number;
    this.#after = options.update_after_step as number;
  }

  updateEnd(run: RunView): void {
    const updates = run.state.iteration - run.state.skipped;
    if (updates <= this.#after || (updates - this.#after) % this.#every !== 0) return;
    const { parameters } = run.model;
    for (const name of Object.keys(parameters)) {
      const before = this.#averages[name];
      this.#averages[name] = before === undefined
        ? tf.clone(parameters[name])
        : tf.tidy(() => tf.add(before, tf.mul(tf.sub(parameters[name], before), 1 - this.#decay)));
      before?.dispose();
    }
  }

  evaluationStart(run: RunView): void {
    const { parameters } = run.model;
    this.#raw = {};
    // All are kept before the first is replaced: a variable may stand under two names.
    for (const name of Object.keys(this.#averages)) this.#raw[name] = tf.clone(parameters[name]);
    for (const name of Object.keys(this.#averages)) parameters[name].assign(this.#averages[name]);
  }

  evaluationEnd(run: RunView): void {
    const raw = this.#raw ?? {};
    for (const name of Object.keys(raw)) run.model.parameters[name].assign(raw[name]);
    tf.dispose(raw);
    this.#raw = undefined;
  }

  state(): CallbackState {
    return { tensors: this.#averages };
  }

  load({ tensors }: { tensors: Record<string, tf.Tensor> }): void {
    tf.dispose(this.#averages);
    this.#averages = tensors;
  }

  dispose(): void {
    tf.dispose(this.#averages);
    this.#averages = {};
  }
}
