/** Lion, the sign of an interpolated momentum (Chen et al., 2023). */
import { atLeast, below, flag, object, pair, type z } from "../core/options.ts";
import {
  add,
  addScaled,
  type Expression,
  lerp,
  mul,
  neg,
  scalar,
  sign,
  slot,
} from "../fuse/expression.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import {
  agreeing,
  ascent,
  cautiousMeasure,
  cautiousOption,
  decayed,
  decayOptions,
  shrinkOf,
} from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-4),
  betas: pair(below(0, 1), below(0, 1)).default([0.9, 0.99]),
  weight_decay: atLeast(0).default(0),
  maximize: flag().default(false),
  ...cautiousOption,
  ...decayOptions,
});

/**
 *     p = p (1 - lr weight_decay) - lr sign(b1 m + (1 - b1) g);   m = b2 m + (1 - b2) g
 *
 * One buffer a parameter. The rate is 3 to 10 times smaller than AdamW's, the decay as much larger.
 */
export const lion: OptimizerRule = elementwise<z.output<typeof options>, {
  maximize: boolean;
  decay: boolean;
  cautious: boolean;
  cautiousDecay: boolean;
}>({
  name: "Lion",
  options,
  slots: { exp_avg: {} },
  form: (o) => ({
    maximize: o.maximize,
    decay: o.weight_decay !== 0,
    cautious: o.cautious === true,
    cautiousDecay: o.cautious_weight_decay === true,
  }),
  scalars: (o, _numbers, { baseLr }) => ({
    lr: o.lr,
    shrink: shrinkOf(o, baseLr),
    keep: o.betas[0],
    take: 1 - o.betas[0],
    take2: 1 - o.betas[1],
  }),
  measure: ({ maximize, cautious }) =>
    cautious ? cautiousMeasure(directionOf(maximize)) : undefined,
  update({ maximize, decay, cautious, cautiousDecay }) {
    const [u, g] = directionOf(maximize);
    const p = decayed(decay, cautiousDecay, u);
    return {
      param: addScaled(p, cautious ? agreeing(u, g) : u, neg(scalar("lr"))),
      slots: { exp_avg: lerp(slot("exp_avg"), g, scalar("take2")) },
    };
  },
});

function directionOf(maximize: boolean): [Expression, Expression] {
  const g = ascent(maximize);
  return [sign(add(mul(slot("exp_avg"), scalar("keep")), mul(scalar("take"), g))), g];
}
