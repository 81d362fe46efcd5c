/** AdEMAMix, Adam with a second, slow momentum (Pagliardini et al., 2024). */
import { log, pow, powInt } from "../core/math.ts";
import { atLeast, below, flag, integer, object, z } from "../core/options.ts";
import {
  add,
  addScaled,
  div,
  type Expression,
  lerp,
  neg,
  scalar,
  slot,
  sqrt,
} from "../fuse/expression.ts";
import { secondMoment } from "./adam.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import {
  agreeing,
  ascent,
  cautiousMeasure,
  cautiousOption,
  decayed,
  decayOptions,
  shrinkOf,
} from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-3),
  betas: z.tuple([below(0, 1), below(0, 1), below(0, 1)], {
    error: "must be an array of 3 numbers",
  }).default([0.9, 0.999, 0.9999]),
  alpha: atLeast(0).default(2),
  beta3_warmup: integer(1).nullable().default(null),
  alpha_warmup: integer(1).nullable().default(null),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
  maximize: flag().default(false),
  ...cautiousOption,
  ...decayOptions,
});

type Form = { maximize: boolean; decay: boolean; cautious: boolean; cautiousDecay: boolean };

/**
 *     m1 = lerp(m1, g, 1 - b1);   m2 = lerp(m2, g, 1 - b3_t);   v = b2 v + (1 - b2) g^2
 *     u = (m1 / (1 - b1^t) + alpha_t m2) / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *     p = p - lr (u + weight_decay p)
 *
 * Over `alpha_warmup` steps alpha_t grows linearly from 0, over `beta3_warmup` steps the half-life
 * of b3_t grows linearly from that of b1. Both are best set to the length of the run.
 */
export const ademamix: OptimizerRule = elementwise<z.output<typeof options>, Form>({
  name: "AdEMAMix",
  options,
  slots: { exp_avg_fast: {}, exp_avg_slow: {}, exp_avg_sq: {} },
  numbers: () => ({ step: 0 }),
  form: (o) => ({
    maximize: o.maximize,
    decay: o.weight_decay !== 0,
    cautious: o.cautious === true,
    cautiousDecay: o.cautious_weight_decay === true,
  }),
  scalars(o, numbers, { baseLr }) {
    const step = ++numbers.step;
    const [beta1, beta2, beta3] = o.betas;
    return {
      lr: o.lr,
      shrink: shrinkOf(o, baseLr),
      take1: 1 - beta1,
      keep2: beta2,
      take2: 1 - beta2,
      take3: 1 - slowBeta(step, beta1, beta3, o.beta3_warmup),
      alpha: o.alpha_warmup === null ? o.alpha : o.alpha * Math.min(1, step / o.alpha_warmup),
      correction1: 1 - powInt(beta1, step),
      correction2: Math.sqrt(1 - powInt(beta2, step)),
      eps: o.eps,
    };
  },
  measure: (form) => form.cautious ? cautiousMeasure(directionOf(form)) : undefined,
  update(form) {
    const [mixed, g, fast, slow] = directionOf(form);
    const v = secondMoment(g);
    const denominator = add(div(sqrt(v), scalar("correction2")), scalar("eps"));
    const u = div(form.cautious ? agreeing(mixed, g) : mixed, denominator);
    return {
      param: addScaled(decayed(form.decay, form.cautiousDecay, mixed), u, neg(scalar("lr"))),
      slots: { exp_avg_fast: fast, exp_avg_slow: slow, exp_avg_sq: v },
    };
  },
});

/** The numerator of the step, the gradient, and the two new momenta. */
function directionOf({ maximize }: Form): [Expression, Expression, Expression, Expression] {
  const g = ascent(maximize);
  const fast = lerp(slot("exp_avg_fast"), g, scalar("take1"));
  const slow = lerp(slot("exp_avg_slow"), g, scalar("take3"));
  return [addScaled(div(fast, scalar("correction1")), slow, scalar("alpha")), g, fast, slow];
}

/** b3_t: linear in the half-life f(b) = ln 0.5 / ln(b + 1e-8) - 1, from b1 to b3. */
function slowBeta(step: number, beta1: number, beta3: number, warmup: number | null): number {
  if (warmup === null || step >= warmup) return beta3;
  const halfLife = (beta: number) => log(0.5) / log(beta + 1e-8) - 1;
  const share = step / warmup;
  return pow(0.5, 1 / ((1 - share) * halfLife(beta1) + share * halfLife(beta3) + 1));
}
