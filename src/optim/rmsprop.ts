/** RMSprop (Tieleman and Hinton, 2012; centered: Graves, 2013), as `torch.optim.RMSprop`. */
import { atLeast, flag, object, type z } from "../core/options.ts";
import {
  add,
  addcdiv,
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
import { ascent, withL2 } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-2),
  alpha: atLeast(0).default(0.99),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
  momentum: atLeast(0).default(0),
  centered: flag().default(false),
  maximize: flag().default(false),
});

/**
 *     g = gradient + weight_decay p;   s = alpha s + (1 - alpha) g^2
 *     centered:  a = lerp(a, g, 1 - alpha),  r = sqrt(s - a^2);   else  r = sqrt(s)
 *     momentum:  b = momentum b + g / (r + eps),  p = p - lr b;   else  p = p - lr g / (r + eps)
 */
export const rmsprop: OptimizerRule = elementwise<z.output<typeof options>, {
  maximize: boolean;
  decay: boolean;
  momentum: boolean;
  centered: boolean;
}>({
  name: "RMSprop",
  options,
  slots: {
    square_avg: {},
    momentum_buffer: { when: (o) => o.momentum > 0 },
    grad_avg: { when: (o) => o.centered },
  },
  numbers: () => ({ step: 0 }),
  form: (o) => ({
    maximize: o.maximize,
    decay: o.weight_decay !== 0,
    momentum: o.momentum > 0,
    centered: o.centered,
  }),
  scalars(o, numbers) {
    numbers.step++;
    return {
      lr: o.lr,
      weight_decay: o.weight_decay,
      alpha: o.alpha,
      take: 1 - o.alpha,
      eps: o.eps,
      momentum: o.momentum,
    };
  },
  update({ maximize, decay, momentum, centered }) {
    const g = withL2(ascent(maximize), decay);
    const slots: Record<string, Expression> = {};
    const s = slots.square_avg = addcmul(
      mul(slot("square_avg"), scalar("alpha")),
      g,
      g,
      scalar("take"),
    );
    let variance = s;
    if (centered) {
      const a = slots.grad_avg = lerp(slot("grad_avg"), g, scalar("take"));
      variance = sub(s, mul(a, a));
    }
    const r = add(sqrt(variance), scalar("eps"));
    const step = neg(scalar("lr"));
    if (!momentum) return { param: addcdiv(param, g, r, step), slots };
    const b = slots.momentum_buffer = add(
      mul(slot("momentum_buffer"), scalar("momentum")),
      div(g, r),
    );
    return { param: addScaled(param, b, step), slots };
  },
});
