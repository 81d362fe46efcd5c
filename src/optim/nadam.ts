/** Adam with Nesterov momentum (Dozat, 2016), as `torch.optim.NAdam`. */
import { pow, powInt } from "../core/math.ts";
import { atLeast, below, flag, object, pair, type z } from "../core/options.ts";
import {
  add,
  addcdiv,
  addScaled,
  div,
  type Expression,
  lerp,
  mul,
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
  needsDecoupled,
  shrinkOf,
  withL2,
} from "./terms.ts";

const options = object({
  lr: atLeast(0).default(2e-3),
  betas: pair(below(0, 1), below(0, 1)).default([0.9, 0.999]),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
  momentum_decay: atLeast(0).default(4e-3),
  decoupled_weight_decay: flag().default(false),
  maximize: flag().default(false),
  ...cautiousOption,
  ...decayOptions,
}).refine(...needsDecoupled);

type Form = {
  maximize: boolean;
  decay: boolean;
  decoupled: boolean;
  cautious: boolean;
  cautiousDecay: boolean;
};

/**
 *     m, v as Adam;   mu_t = b1 (1 - 0.96^(t momentum_decay) / 2);   P = mu_1 ... mu_t
 *     d = sqrt(v / (1 - b2^t)) + eps
 *     p = p - lr (1 - mu_t) / (1 - P) g / d - lr mu_{t+1} / (1 - P mu_{t+1}) m / d
 */
export const nadam: OptimizerRule = elementwise<z.output<typeof options>, Form>({
  name: "NAdam",
  options,
  slots: { exp_avg: {}, exp_avg_sq: {} },
  numbers: () => ({ step: 0, mu_product: 1 }),
  form: (o) => ({
    maximize: o.maximize,
    decay: o.weight_decay !== 0,
    decoupled: o.decoupled_weight_decay,
    cautious: o.cautious === true,
    cautiousDecay: o.cautious_weight_decay === true,
  }),
  scalars(o, numbers, { baseLr }) {
    const step = ++numbers.step;
    const [beta1, beta2] = o.betas;
    const mu = (t: number) => beta1 * (1 - 0.5 * pow(0.96, t * o.momentum_decay));
    const [now, next] = [mu(step), mu(step + 1)];
    const product = numbers.mu_product *= now;
    return {
      weight_decay: o.weight_decay,
      shrink: shrinkOf(o, baseLr),
      take1: 1 - beta1,
      keep2: beta2,
      take2: 1 - beta2,
      correction2: 1 - powInt(beta2, step),
      eps: o.eps,
      gradient_step: o.lr * (1 - now) / (1 - product),
      moment_step: o.lr * next / (1 - product * next),
    };
  },
  measure: (form) => form.cautious ? cautiousMeasure(directionOf(form)) : undefined,
  update(form) {
    const [direction, g, m] = directionOf(form);
    const v = secondMoment(g);
    const d = add(sqrt(div(v, scalar("correction2"))), scalar("eps"));
    const p = decayed(form.decay && form.decoupled, form.cautiousDecay, direction);
    return {
      param: form.cautious
        ? addcdiv(p, agreeing(direction, g), d, -1)
        : addcdiv(addcdiv(p, g, d, neg(scalar("gradient_step"))), m, d, neg(scalar("moment_step"))),
      slots: { exp_avg: m, exp_avg_sq: v },
    };
  },
});

/** The numerator of the step, the gradient, and the new first moment. */
function directionOf({ maximize, decay, decoupled }: Form): [Expression, Expression, Expression] {
  const g = withL2(ascent(maximize), decay && !decoupled);
  const m = lerp(slot("exp_avg"), g, scalar("take1"));
  return [addScaled(mul(scalar("gradient_step"), g), m, scalar("moment_step")), g, m];
}
