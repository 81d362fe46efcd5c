/** Curriculum over the forecast horizon: train on the first steps, then on more and more. */
import { integer, object, parseOptions, type z } from "../../core/options.ts";
import * as tf from "../../tensor/tf.ts";
import type { Callback, OutputValue, TapeContext } from "../hooks.ts";

/** Options of {@link Curriculum}, in iterations. */
export const curriculumOptions: z.ZodObject = object({
  prediction_length: integer(1),
  warm_up_iterations: integer(0).default(0),
  interval: integer(1),
  step_size: integer(1).default(1),
});

/**
 * In training only, prediction, target and mask are cut to the first L steps of axis 1:
 *
 *     iteration <= warm_up_iterations   L = prediction_length
 *     else   L = min(prediction_length, (floor((iteration - 1 - warm_up_iterations) / interval) + 1) * step_size)
 *
 * A function of the iteration alone, so a resumed run needs nothing saved.
 */
export class Curriculum implements Callback {
  readonly name = "Curriculum";
  /** Where the options stand in the config. */
  readonly path: string;
  readonly #options: {
    prediction_length: number;
    warm_up_iterations: number;
    interval: number;
    step_size: number;
  };

  constructor(params: Record<string, unknown> = {}, path = "callbacks.Curriculum") {
    this.#options = parseOptions(curriculumOptions, params, path, "Curriculum") as never;
    this.path = path;
  }

  /** The number of steps that are trained on in the end: at most those of the targets. */
  get length(): number {
    return this.#options.prediction_length;
  }

  /** The number of steps trained on at an iteration (1-based). */
  lengthAt(iteration: number): number {
    const { prediction_length, warm_up_iterations, interval, step_size } = this.#options;
    const done = iteration - 1 - warm_up_iterations;
    return done < 0
      ? prediction_length
      : Math.min(prediction_length, (Math.floor(done / interval) + 1) * step_size);
  }

  output({ prediction, target, mask }: OutputValue, { iteration }: TapeContext): OutputValue {
    const length = this.lengthAt(iteration);
    const cut = (x: tf.Tensor): tf.Tensor => {
      const size = [...x.shape];
      size[1] = Math.min(size[1], length);
      return tf.slice(x, size.map(() => 0), size);
    };
    return {
      prediction: cut(prediction),
      target: cut(target),
      mask: mask === undefined ? undefined : cut(mask),
    };
  }
}
