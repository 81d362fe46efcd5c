/** Adam (Kingma and Ba, 2015; AMSGrad: Reddi et al., 2018), as `torch.optim.Adam`. */
import { atLeast, below, flag, object, pair, type z } from "../core/options.ts";
import { powInt } from "../core/math.ts";
import {
  add,
  addcdiv,
  addcmul,
  div,
  type Expression,
  lerp,
  max,
  mul,
  neg,
  scalar,
  slot,
  sqrt,
  type Update,
} from "../fuse/expression.ts";
import { elementwise, type Measure, type ScalarContext } from "./elementwise.ts";
import type { OptimizerRule, Slot } from "./rule.ts";
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
  amsgrad: flag().default(false),
  maximize: flag().default(false),
  decoupled_weight_decay: flag().default(false),
  ...cautiousOption,
  ...decayOptions,
}).refine(...needsDecoupled);

/** What Adam and AdamW read of their options. */
export type AdamOptions = Omit<z.output<typeof options>, "decoupled_weight_decay">;

/** The questions that shape Adam's expression. */
export type AdamForm = {
  maximize: boolean;
  decay: boolean;
  decoupled: boolean;
  amsgrad: boolean;
  cautious: boolean;
  cautiousDecay: boolean;
};

/** The slots of Adam and AdamW. */
export const adamSlots: Record<string, Slot<{ amsgrad: boolean }>> = {
  exp_avg: {},
  exp_avg_sq: {},
  max_exp_avg_sq: { when: (o) => o.amsgrad },
};

/**
 *     decoupled:  p = p (1 - lr weight_decay);   else  g = g + weight_decay p
 *     m = lerp(m, g, 1 - b1);   v = b2 v + (1 - b2) g^2;   amsgrad: v' = max(v', v)
 *     p = p - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 */
export const adam: OptimizerRule = elementwise<z.output<typeof options>, AdamForm>({
  name: "Adam",
  options,
  slots: adamSlots,
  numbers: () => ({ step: 0 }),
  form: (o) => adamForm(o, o.decoupled_weight_decay),
  scalars: adamScalars,
  measure: adamMeasure,
  update: adamUpdate,
});

/** The form of Adam's expression. */
export function adamForm(o: AdamOptions, decoupled: boolean): AdamForm {
  return {
    maximize: o.maximize,
    decay: o.weight_decay !== 0,
    decoupled,
    amsgrad: o.amsgrad,
    cautious: o.cautious === true,
    cautiousDecay: o.cautious_weight_decay === true,
  };
}

/** The scalars of one Adam update; counts `step`. */
export function adamScalars(
  o: AdamOptions,
  numbers: Record<string, number>,
  { baseLr }: ScalarContext,
): Record<string, number> {
  const step = ++numbers.step;
  const [beta1, beta2] = o.betas;
  return {
    weight_decay: o.weight_decay,
    shrink: shrinkOf(o, baseLr),
    take1: 1 - beta1,
    keep2: beta2,
    take2: 1 - beta2,
    step_size: o.lr / (1 - powInt(beta1, step)),
    correction2: Math.sqrt(1 - powInt(beta2, step)),
    eps: o.eps,
  };
}

/** What cautious masking needs to know before the update. */
export function adamMeasure(form: AdamForm): Measure | undefined {
  return form.cautious ? cautiousMeasure(momentOf(form)) : undefined;
}

/** Adam's expression. */
export function adamUpdate(form: AdamForm): Update {
  const { decay, decoupled, amsgrad, cautious, cautiousDecay } = form;
  const [m, g] = momentOf(form);
  const slots: Record<string, Expression> = { exp_avg: m };
  let v = slots.exp_avg_sq = secondMoment(g);
  if (amsgrad) v = slots.max_exp_avg_sq = max(slot("max_exp_avg_sq"), v);
  const denominator = add(div(sqrt(v), scalar("correction2")), scalar("eps"));
  const direction = cautious ? agreeing(m, g) : m;
  const p = decayed(decay && decoupled, cautiousDecay, m);
  return { param: addcdiv(p, direction, denominator, neg(scalar("step_size"))), slots };
}

/** exp_avg_sq = keep2 exp_avg_sq + take2 g^2. */
export const secondMoment = (g: Expression): Expression =>
  addcmul(mul(slot("exp_avg_sq"), scalar("keep2")), g, g, scalar("take2"));

/** The new first moment, and the gradient that enters it. */
function momentOf({ maximize, decay, decoupled }: AdamForm): [Expression, Expression] {
  const g = withL2(ascent(maximize), decay && !decoupled);
  return [lerp(slot("exp_avg"), g, scalar("take1")), g];
}
