/** Adadelta (Zeiler, 2012), as `torch.optim.Adadelta`. */
import { atLeast, between, flag, object, type z } from "../core/options.ts";
import {
  add,
  addcmul,
  addScaled,
  div,
  mul,
  neg,
  param,
  scalar,
  slot,
  sqrt,
} from "../fuse/expression.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import { ascent, withL2 } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1),
  rho: between(0, 1).default(0.9),
  eps: atLeast(0).default(1e-6),
  weight_decay: atLeast(0).default(0),
  maximize: flag().default(false),
});

/**
 *     g = gradient + weight_decay p;   s = rho s + (1 - rho) g^2
 *     d = sqrt(a + eps) / sqrt(s + eps) g;   a = rho a + (1 - rho) d^2;   p = p - lr d
 */
export const adadelta: OptimizerRule = elementwise<
  z.output<typeof options>,
  { maximize: boolean; decay: boolean }
>({
  name: "Adadelta",
  options,
  slots: { square_avg: {}, acc_delta: {} },
  numbers: () => ({ step: 0 }),
  form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
  scalars(o, numbers) {
    numbers.step++;
    return { lr: o.lr, weight_decay: o.weight_decay, rho: o.rho, take: 1 - o.rho, eps: o.eps };
  },
  update({ maximize, decay }) {
    const g = withL2(ascent(maximize), decay);
    const s = addcmul(mul(slot("square_avg"), scalar("rho")), g, g, scalar("take"));
    const root = sqrt(add(slot("acc_delta"), scalar("eps")));
    const d = mul(div(root, sqrt(add(s, scalar("eps")))), g);
    const a = addcmul(mul(slot("acc_delta"), scalar("rho")), d, d, scalar("take"));
    return {
      param: addScaled(param, d, neg(scalar("lr"))),
      slots: { square_avg: s, acc_delta: a },
    };
  },
});
