/** Rectified Adam (Liu et al., 2020), as `torch.optim.RAdam`. */
import { powInt } from "../core/math.ts";
import { atLeast, below, flag, object, pair, type z } from "../core/options.ts";
import {
  add,
  addScaled,
  div,
  type Expression,
  gt,
  lerp,
  mul,
  neg,
  scalar,
  select,
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
  lr: atLeast(0).default(1e-3),
  betas: pair(below(0, 1), below(0, 1)).default([0.9, 0.999]),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
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

/** The length of the approximated moving average after t steps, and its limit. */
export function averageLength(beta2: number, t: number): { rho: number; limit: number } {
  const limit = 2 / (1 - beta2) - 1;
  const power = powInt(beta2, t);
  return { rho: limit - 2 * t * power / (1 - power), limit };
}

/** The rectification r of the step, for rho > 4. */
export function rectification(rho: number, limit: number): number {
  return Math.sqrt(
    ((rho - 4) * (rho - 2) * limit) / ((limit - 4) * (limit - 2) * rho),
  );
}

/**
 *     m, v as Adam;   mhat = m / (1 - b1^t);   rho_t, r_t: see averageLength, rectification
 *     rho_t > 5:  p = p - lr mhat r_t sqrt(1 - b2^t) / (sqrt(v) + eps);   else  p = p - lr mhat
 */
export const radam: OptimizerRule = elementwise<z.output<typeof options>, Form>({
  name: "RAdam",
  options,
  slots: { exp_avg: {}, exp_avg_sq: {} },
  numbers: () => ({ step: 0 }),
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
    const { rho, limit } = averageLength(beta2, step);
    return {
      weight_decay: o.weight_decay,
      shrink: shrinkOf(o, baseLr),
      take1: 1 - beta1,
      keep2: beta2,
      take2: 1 - beta2,
      eps: o.eps,
      step_size: o.lr / (1 - powInt(beta1, step)),
      rectified: rho > 5 ? rectification(rho, limit) * Math.sqrt(1 - powInt(beta2, step)) : 0,
    };
  },
  measure: (form) => form.cautious ? cautiousMeasure(momentOf(form)) : undefined,
  update(form) {
    const [m, g] = momentOf(form);
    const v = secondMoment(g);
    const factor = select(
      gt(scalar("rectified"), 0),
      div(scalar("rectified"), add(sqrt(v), scalar("eps"))),
      1,
    );
    const direction = mul(form.cautious ? agreeing(m, g) : m, factor);
    const p = decayed(form.decay && form.decoupled, form.cautiousDecay, m);
    return {
      param: addScaled(p, direction, neg(scalar("step_size"))),
      slots: { exp_avg: m, exp_avg_sq: v },
    };
  },
});

/** The new first moment, and the gradient that enters it. */
function momentOf({ maximize, decay, decoupled }: Form): [Expression, Expression] {
  const g = withL2(ascent(maximize), decay && !decoupled);
  return [lerp(slot("exp_avg"), g, scalar("take1")), g];
}
