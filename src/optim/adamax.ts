/** Adamax, Adam with the infinity norm (Kingma and Ba, 2015), as `torch.optim.Adamax`. */
import { powInt } from "../core/math.ts";
import { atLeast, below, flag, object, pair, type z } from "../core/options.ts";
import { abs, add, addcdiv, lerp, max, mul, neg, param, scalar, slot } from "../fuse/expression.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import { ascent, withL2 } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(2e-3),
  betas: pair(below(0, 1), below(0, 1)).default([0.9, 0.999]),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
  maximize: flag().default(false),
});

/**
 *     g = gradient + weight_decay p
 *     m = lerp(m, g, 1 - b1);   u = max(b2 u, |g| + eps);   p = p - lr / (1 - b1^t) m / u
 */
export const adamax: OptimizerRule = elementwise<
  z.output<typeof options>,
  { maximize: boolean; decay: boolean }
>({
  name: "Adamax",
  options,
  slots: { exp_avg: {}, exp_inf: {} },
  numbers: () => ({ step: 0 }),
  form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
  scalars: (o, numbers) => ({
    weight_decay: o.weight_decay,
    take1: 1 - o.betas[0],
    beta2: o.betas[1],
    eps: o.eps,
    step_size: o.lr / (1 - powInt(o.betas[0], ++numbers.step)),
  }),
  update({ maximize, decay }) {
    const g = withL2(ascent(maximize), decay);
    const m = lerp(slot("exp_avg"), g, scalar("take1"));
    const u = max(mul(slot("exp_inf"), scalar("beta2")), add(abs(g), scalar("eps")));
    return {
      param: addcdiv(param, m, u, neg(scalar("step_size"))),
      slots: { exp_avg: m, exp_inf: u },
    };
  },
});
