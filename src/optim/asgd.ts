/** Averaged stochastic gradient descent (Polyak and Juditsky, 1992), as `torch.optim.ASGD`. */
import { pow } from "../core/math.ts";
import { atLeast, flag, number, object, type z } from "../core/options.ts";
import { addScaled, eq, mul, neg, param, scalar, select, slot, sub } from "../fuse/expression.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import { ascent, withL2 } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-2),
  lambd: number().default(1e-4),
  alpha: number().default(0.75),
  t0: number().default(1e6),
  weight_decay: atLeast(0).default(0),
  maximize: flag().default(false),
});

/**
 *     g = gradient + weight_decay p;   p = p (1 - lambd eta) - eta g
 *     ax = mu = 1 ? p : ax + mu (p - ax)
 *     then eta = lr / (1 + lambd lr t)^alpha,  mu = 1 / max(1, t - t0)
 *
 * eta is that of the step before, so a changed rate takes effect one step late. The average is the
 * slot `ax`; the parameter is not replaced by it.
 */
export const asgd: OptimizerRule = elementwise<
  z.output<typeof options>,
  { maximize: boolean; decay: boolean }
>({
  name: "ASGD",
  options,
  slots: { ax: {} },
  numbers: (o) => ({ step: 0, eta: o.lr, mu: 1 }),
  form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
  scalars(o, numbers) {
    const { eta, mu } = numbers;
    const step = ++numbers.step;
    numbers.eta = o.lr / pow(1 + o.lambd * o.lr * step, o.alpha);
    numbers.mu = 1 / Math.max(1, step - o.t0);
    return { weight_decay: o.weight_decay, eta, mu, shrink: 1 - o.lambd * eta };
  },
  update({ maximize, decay }) {
    const g = withL2(ascent(maximize), decay);
    const p = addScaled(mul(param, scalar("shrink")), g, neg(scalar("eta")));
    const moved = addScaled(slot("ax"), sub(p, slot("ax")), scalar("mu"));
    return { param: p, slots: { ax: select(eq(scalar("mu"), 1), p, moved) } };
  },
});
