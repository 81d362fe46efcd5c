/** Stochastic gradient descent with momentum, as `torch.optim.SGD`. */
import { atLeast, flag, number, object, type z } from "../core/options.ts";
import { addScaled, type Expression, mul, neg, param, scalar, slot } from "../fuse/expression.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import { agreeing, ascent, cautiousMeasure, cautiousOption, withL2 } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-3),
  momentum: atLeast(0).default(0),
  dampening: number().default(0),
  weight_decay: atLeast(0).default(0),
  nesterov: flag().default(false),
  maximize: flag().default(false),
  ...cautiousOption,
}).refine((o) => !o.nesterov || (o.momentum > 0 && o.dampening === 0), {
  path: ["nesterov"],
  error: "must be false unless momentum > 0 and dampening = 0, received true",
});

/**
 *     g = gradient + weight_decay p
 *     b = momentum b + (1 - dampening) g        (the first b is g)
 *     p = p - lr (nesterov ? g + momentum b : b)
 */
export const sgd: OptimizerRule = elementwise<z.output<typeof options>, {
  maximize: boolean;
  decay: boolean;
  momentum: boolean;
  nesterov: boolean;
  cautious: boolean;
}>({
  name: "SGD",
  options,
  slots: { momentum_buffer: { when: (o) => o.momentum !== 0 } },
  form: (o) => ({
    maximize: o.maximize,
    decay: o.weight_decay !== 0,
    momentum: o.momentum !== 0,
    nesterov: o.nesterov,
    cautious: o.cautious === true && o.momentum !== 0,
  }),
  scalars(o, _numbers, { isNew }) {
    const first = isNew("momentum_buffer");
    return {
      lr: o.lr,
      weight_decay: o.weight_decay,
      momentum: o.momentum,
      keep: first ? 0 : o.momentum,
      take: first ? 1 : 1 - o.dampening,
    };
  },
  measure: (form) => form.cautious ? cautiousMeasure(directionOf(form)) : undefined,
  update(form) {
    const [direction, g, buffer] = directionOf(form);
    const u = form.cautious ? agreeing(direction, g) : direction;
    const moved = addScaled(param, u, neg(scalar("lr")));
    return form.momentum ? { param: moved, slots: { momentum_buffer: buffer } } : { param: moved };
  },
});

/** The direction of the step, the gradient, and the new buffer. */
function directionOf(
  form: { maximize: boolean; decay: boolean; momentum: boolean; nesterov: boolean },
): [Expression, Expression, Expression] {
  const g = withL2(ascent(form.maximize), form.decay);
  if (!form.momentum) return [g, g, g];
  const buffer = addScaled(mul(slot("momentum_buffer"), scalar("keep")), g, scalar("take"));
  return [form.nesterov ? addScaled(g, buffer, scalar("momentum")) : buffer, g, buffer];
}
