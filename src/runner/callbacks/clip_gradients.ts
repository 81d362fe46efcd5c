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
    if (this.#normType === 2) {
      return { ...value, scale: scale * Math.min(1, this.#maxNorm! / (norm + 1e-6)) };
    }
    // Another norm is taken of the mean gradient on the device, so that nothing is read back.
    const clipped = tf.tidy(() =>
      clipGradNorm(scaled(grads, scale), this.#maxNorm!, this.#normType).grads
    );
    return { ...value, grads: clipped, scale: 1 };
  }

  deviceGradients(value: DeviceGradientValue): DeviceGradientValue {
    const { grads, scale, norm } = value;
    if (this.#clipValue !== undefined) {
      return { ...value, ...clipGradValue(scaled(grads, scale), this.#clipValue), scale: 1 };
    }
    if (this.#normType === 2) {
      return { ...value, scale: tf.mul<tf.Scalar>(clipFactor(norm, this.#maxNorm!), scale) };
    }
    const clipped = clipGradNorm(scaled(grads, scale), this.#maxNorm!, this.#normType);
    return { ...value, grads: clipped.grads, scale: 1 };
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
