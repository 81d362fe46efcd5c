/** Adagrad (Duchi et al., 2011), as `torch.optim.Adagrad`. */
import { atLeast, flag, object, type z } from "../core/options.ts";
import { add, addcdiv, addcmul, neg, param, scalar, slot, sqrt } from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import { ascent, withL2 } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-2),
  lr_decay: atLeast(0).default(0),
  weight_decay: atLeast(0).default(0),
  initial_accumulator_value: atLeast(0).default(0),
  eps: atLeast(0).default(1e-10),
  maximize: flag().default(false),
});

/**
 *     g = gradient + weight_decay p;   S = S + g^2
 *     p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(S) + eps)
 */
export const adagrad: OptimizerRule = elementwise<
  z.output<typeof options>,
  { maximize: boolean; decay: boolean }
>({
  name: "Adagrad",
  options,
  slots: {
    sum: { initial: (o, p) => tf.fill(p.shape, o.initial_accumulator_value, "float32") },
  },
  numbers: () => ({ step: 0 }),
  form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
  scalars: (o, numbers) => ({
    weight_decay: o.weight_decay,
    eps: o.eps,
    step_size: o.lr / (1 + numbers.step++ * o.lr_decay),
  }),
  update({ maximize, decay }) {
    const g = withL2(ascent(maximize), decay);
    const sum = addcmul(slot("sum"), g, g, 1);
    return {
      param: addcdiv(param, g, add(sqrt(sum), scalar("eps")), neg(scalar("step_size"))),
      slots: { sum },
    };
  },
});
