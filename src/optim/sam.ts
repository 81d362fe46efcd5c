/**
 * Sharpness-aware minimisation (Foret et al., 2021) and its adaptive form (Kwon et al., 2021): the
 * base optimizer's step with the gradient at the worst point nearby.
 */
import { atLeast, flag, object, type z } from "../core/options.ts";
import * as tf from "../tensor/tf.ts";
import { gradNorm } from "./clip.ts";
import { type GradientEntry, type OptimizerRule, scaledGradient } from "./rule.ts";
import type { OptimizerWrapper } from "./wrapper.ts";

const options = object({
  rho: atLeast(0).default(0.05),
  adaptive: flag().default(false),
});

const adaptiveOptions = object({ rho: atLeast(0).default(0.5), adaptive: flag().default(true) });

/**
 *     N = norm over all parameters of (adaptive ? |p| : 1) g
 *     e = rho / (N + 1e-12) (adaptive ? p^2 : 1) g
 *
 * The base optimizer steps from p with the gradient taken at p + e. Every update needs a second
 * gradient: `await step(closure)`, or `minimize`, or `perturb(grads)` before `applyGradients`.
 */
export const sam: OptimizerWrapper = { name: "SAM", options, extend };

/** SAM with `adaptive` on and a rho of 0.5. */
export const asam: OptimizerWrapper = { name: "ASAM", options: adaptiveOptions, extend };

function extend(): Partial<OptimizerRule> {
  return { perturb: (entries) => tf.tidy(() => perturb(entries)) };
}

function perturb(entries: readonly GradientEntry[]): void {
  const read = (entry: GradientEntry) => entry.options as z.output<typeof options>;
  const gradients = entries.map((entry) => tf.mul(scaledGradient(entry), signOf(entry)));
  const scaled = entries.map((entry, i) =>
    read(entry).adaptive ? tf.mul(tf.abs(entry.param), gradients[i]) : gradients[i]
  );
  const norm = tf.add(gradNorm(scaled), 1e-12);
  entries.forEach((entry, i) => {
    const { rho, adaptive } = read(entry);
    const direction = adaptive ? tf.mul(tf.abs(entry.param), scaled[i]) : scaled[i];
    entry.param.assign(tf.add(entry.param, tf.mul(direction, tf.div(rho, norm))));
  });
}

/** The worst point of an objective that is maximised lies downhill. */
const signOf = ({ options }: GradientEntry): number => options.maximize === true ? -1 : 1;
