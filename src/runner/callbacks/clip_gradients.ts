/** Clips gradients before the update. */
import { above, either, object, oneOf, parseOptions, type z } from "../../core/options.ts";
import { ConfigError } from "../../core/errors.ts";
import { clipFactor, clipGradNorm, clipGradValue } from "../../optim/clip.ts";
import * as tf from "../../tensor/tf.ts";
import type { Callback, DeviceGradientValue, GradientValue } from "../hooks.ts";

/** Options of {@link ClipGradients}. */
export const clipGradientsOptions: z.ZodObject = object({
  max_norm: above(0).optional(),
  norm_type: either('must be a number > 0 or "inf"', above(0), oneOf(["inf"])).default(2),
  clip_value: above(0).optional(),
});

/**
 * `max_norm`: g *= min(1, max_norm / (norm + 1e-6)) with the global norm over all parameters;
 * `clip_value`: every element into [-clip_value, clip_value]. One of the two.
 */
export class ClipGradients implements Callback {
  readonly name = "ClipGradients";
  readonly #maxNorm: number | undefined;
  readonly #normType: number;
  readonly #clipValue: number | undefined;

  constructor(params: Record<string, unknown> = {}, path = "train.clipGrad") {
    const options = parseOptions(clipGradientsOptions, params, path, "ClipGradients");
    this.#maxNorm = options.max_norm as number | undefined;
    this.#clipValue = options.clip_value as number | undefined;
    this.#normType = options.norm_type === "inf" ? Infinity : options.norm_type as number;
    if ((this.#maxNorm === undefined) === (this.#clipValue === undefined)) {
      throw new ConfigError(
        path,
        `must have max_norm or clip_value, received ${
          this.#maxNorm === undefined ? "neither" : "both"
        }`,
      );
    }
  }

  gradients(value: GradientValue): GradientValue {
    const { grads, scale, norm } = value;
    if (this.#clipValue !== undefined) {
      return { ...value, grads: clipGradValue(grads, this.#clipValue / scale).grads };
    }
    if (this.#normType === 2 && norm !== undefined) {
      return { ...value, scale: scale * Math.min(1, this.#maxNorm! / (norm + 1e-6)) };
    }
    return { ...value, grads: tf.tidy(() => this.#clipMean(grads, scale)), scale: 1 };
  }

  deviceGradients(value: DeviceGradientValue): DeviceGradientValue {
    const { grads, scale, norm } = value;
    if (this.#clipValue !== undefined) {
      return { ...value, ...clipGradValue(scaled(grads, scale), this.#clipValue), scale: 1 };
    }
    if (this.#normType === 2 && norm !== undefined) {
      return { ...value, scale: tf.mul<tf.Scalar>(clipFactor(norm, this.#maxNorm!), scale) };
    }
    return { ...value, grads: this.#clipMean(grads, scale), scale: 1 };
  }

  /** A norm that is not known is taken of the mean gradient on the device: nothing is read back. */
  #clipMean(
    grads: Record<string, tf.Tensor>,
    scale: number | tf.Scalar,
  ): Record<string, tf.Tensor> {
    return clipGradNorm(scaled(grads, scale), this.#maxNorm!, this.#normType).grads;
  }
}

function scaled(
  grads: Record<string, tf.Tensor>,
  scale: number | tf.Scalar,
): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(grads).map(([name, gradient]) => [name, tf.mul(gradient, scale)]),
  );
}
