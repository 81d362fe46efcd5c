/** Adan, adaptive Nesterov momentum (Xie et al., 2022). */
import { powInt } from "../core/math.ts";
import { atLeast, below, flag, object, z } from "../core/options.ts";
import {
  add,
  addcmul,
  addScaled,
  div,
  type Expression,
  lerp,
  mul,
  neg,
  param,
  scalar,
  slot,
  sqrt,
  sub,
} from "../fuse/expression.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import { agreeing, ascent, cautiousMeasure, cautiousOption } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-3),
  betas: z.tuple([below(0, 1), below(0, 1), below(0, 1)], {
    error: "must be an array of 3 numbers",
  }).default([0.98, 0.92, 0.99]),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
  no_prox: flag().default(false),
  maximize: flag().default(false),
  ...cautiousOption,
});

type Form = { maximize: boolean; noProx: boolean; cautious: boolean };

/**
 *     diff = g - g'  (0 at first);   m = lerp(m, g, 1 - b1);   d = lerp(d, diff, 1 - b2)
 *     n = b3 n + (1 - b3) (g + b2 diff)^2
 *     s = lr (m / (1 - b1^t) + b2 d / (1 - b2^t)) / (sqrt(n) / sqrt(1 - b3^t) + eps)
 *     no_prox:  p = p (1 - lr weight_decay) - s;   else  p = (p - s) / (1 + lr weight_decay)
 *
 * The slot `previous_grad` is g'.
 */
export const adan: OptimizerRule = elementwise<z.output<typeof options>, Form>({
  name: "Adan",
  options,
  slots: { exp_avg: {}, exp_avg_diff: {}, exp_avg_sq: {}, previous_grad: {} },
  numbers: () => ({ step: 0 }),
  form: (o) => ({ maximize: o.maximize, noProx: o.no_prox, cautious: o.cautious === true }),
  scalars(o, numbers, { isNew }) {
    const step = ++numbers.step;
    const [beta1, beta2, beta3] = o.betas;
    return {
      lr: o.lr,
      changed: isNew("previous_grad") ? 0 : 1,
      take1: 1 - beta1,
      take2: 1 - beta2,
      beta2,
      keep3: beta3,
      take3: 1 - beta3,
      correction1: 1 - powInt(beta1, step),
      weight2: beta2 / (1 - powInt(beta2, step)),
      correction3: Math.sqrt(1 - powInt(beta3, step)),
      eps: o.eps,
      shrink: 1 - o.lr * o.weight_decay,
      divide: 1 + o.lr * o.weight_decay,
    };
  },
  measure: (form) => {
    if (!form.cautious) return undefined;
    const { direction, g } = partsOf(form);
    return cautiousMeasure([direction, g]);
  },
  update(form) {
    const { direction, g, m, d, diff } = partsOf(form);
    const looked = addScaled(g, diff, scalar("beta2"));
    const n = addcmul(mul(slot("exp_avg_sq"), scalar("keep3")), looked, looked, scalar("take3"));
    const denominator = add(div(sqrt(n), scalar("correction3")), scalar("eps"));
    const u = div(form.cautious ? agreeing(direction, g) : direction, denominator);
    const step = neg(scalar("lr"));
    return {
      param: form.noProx
        ? addScaled(mul(param, scalar("shrink")), u, step)
        : div(addScaled(param, u, step), scalar("divide")),
      slots: { exp_avg: m, exp_avg_diff: d, exp_avg_sq: n, previous_grad: g },
    };
  },
});

function partsOf({ maximize }: Form): Record<"direction" | "g" | "m" | "d" | "diff", Expression> {
  const g = ascent(maximize);
  const diff = mul(scalar("changed"), sub(g, slot("previous_grad")));
  const m = lerp(slot("exp_avg"), g, scalar("take1"));
  const d = lerp(slot("exp_avg_diff"), diff, scalar("take2"));
  return {
    direction: addScaled(div(m, scalar("correction1")), d, scalar("weight2")),
    g,
    m,
    d,
    diff,
  };
}
