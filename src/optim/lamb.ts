/** LAMB, Adam with a trust ratio for each tensor (You et al., 2020), in easytorch's form. */
import { powInt } from "../core/math.ts";
import { above, atLeast, below, flag, object, pair, type z } from "../core/options.ts";
import {
  add,
  addScaled,
  div,
  type Expression,
  mul,
  neg,
  param,
  scalar,
  slot,
  sqrt,
} from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { secondMoment } from "./adam.ts";
import { gradNorm } from "./clip.ts";
import { elementwise } from "./elementwise.ts";
import { type OptimizerRule, scaledGradient, type UpdateEntry } from "./rule.ts";
import { ascent } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-3),
  bias_correction: flag().default(true),
  betas: pair(below(0, 1), below(0, 1)).default([0.9, 0.999]),
  eps: atLeast(0).default(1e-6),
  weight_decay: atLeast(0).default(0.01),
  grad_averaging: flag().default(true),
  max_grad_norm: above(0).nullable().default(1),
  trust_clip: flag().default(false),
  always_adapt: flag().default(false),
  maximize: flag().default(false),
});

type Options = z.output<typeof options>;
type Form = { maximize: boolean; decay: boolean; adapt: boolean; trustClip: boolean };

const perTensor: OptimizerRule = elementwise<Options, Form>({
  name: "Lamb",
  options,
  slots: { exp_avg: {}, exp_avg_sq: {} },
  numbers: () => ({ step: 0 }),
  form: (o) => ({
    maximize: o.maximize,
    decay: o.weight_decay !== 0,
    adapt: o.weight_decay !== 0 || o.always_adapt,
    trustClip: o.trust_clip,
  }),
  scalars(o, numbers) {
    const step = ++numbers.step;
    const [beta1, beta2] = o.betas;
    return {
      lr: o.lr,
      weight_decay: o.weight_decay,
      keep1: beta1,
      take1: o.grad_averaging ? 1 - beta1 : 1,
      keep2: beta2,
      take2: 1 - beta2,
      correction1: o.bias_correction ? 1 - powInt(beta1, step) : 1,
      correction2: o.bias_correction ? Math.sqrt(1 - powInt(beta2, step)) : 1,
      eps: o.eps,
    };
  },
  measure(form) {
    if (!form.adapt) return undefined;
    const { u } = partsOf(form);
    return {
      means: { parameter: mul(param, param), update: mul(u, u) },
      scalars: ({ parameter, update }) => ({
        trust: trustRatio(parameter, update, form.trustClip),
      }),
    };
  },
  update(form) {
    const { u, m, v } = partsOf(form);
    const adapted = form.adapt ? mul(u, scalar("trust")) : u;
    return {
      param: addScaled(param, adapted, neg(scalar("lr"))),
      slots: { exp_avg: m, exp_avg_sq: v },
    };
  },
});

/**
 *     g = g / max(1, |all g| / max_grad_norm);   b3 = grad_averaging ? 1 - b1 : 1
 *     m = b1 m + b3 g;   v = b2 v + (1 - b2) g^2
 *     u = (m / (1 - b1^t)) / (sqrt(v) / sqrt(1 - b2^t) + eps) + weight_decay p
 *     p = p - lr r u,   r = |p| / |u|  (1 if either is 0, or without decay and always_adapt)
 */
export const lamb: OptimizerRule = {
  ...perTensor,
  // One norm of all gradients.
  whole: ({ max_grad_norm }) => ({ max_grad_norm }),
  scope: (o) => o.max_grad_norm === null ? perTensor.scope!(o) : "model",
  step(entries, shared) {
    tf.tidy(() => perTensor.step(clipped(entries), shared));
  },
};

/** The entries with the factor of the global norm in their scale. */
function clipped(entries: readonly UpdateEntry[]): readonly UpdateEntry[] {
  const limit = (entries[0].options as Options).max_grad_norm;
  if (limit === null) return entries;
  const norm = gradNorm(entries.map(scaledGradient));
  const factor = tf.div(1, tf.maximum(tf.div(norm, limit), 1));
  return entries.map((entry) => ({
    ...entry,
    scale: tf.mul(factor, entry.scale ?? 1) as tf.Scalar,
  }));
}

/** |p| / |u| from the mean squares, 1 where one of them is 0. */
function trustRatio(parameter: tf.Scalar, update: tf.Scalar, clip: boolean): tf.Scalar {
  const usable = tf.logicalAnd(tf.greater(parameter, 0), tf.greater(update, 0));
  const ratio = tf.sqrt(tf.div(parameter, tf.where(usable, update, tf.scalar(1))));
  const trust = tf.where(usable, ratio, tf.scalar(1)) as tf.Scalar;
  return clip ? tf.minimum(trust, 1) as tf.Scalar : trust;
}

function partsOf({ maximize, decay }: Form): Record<"u" | "m" | "v", Expression> {
  const g = ascent(maximize);
  const m = addScaled(mul(slot("exp_avg"), scalar("keep1")), g, scalar("take1"));
  const v = secondMoment(g);
  const denominator = add(div(sqrt(v), scalar("correction2")), scalar("eps"));
  const adam = div(div(m, scalar("correction1")), denominator);
  return { u: decay ? addScaled(adam, param, scalar("weight_decay")) : adam, m, v };
}
