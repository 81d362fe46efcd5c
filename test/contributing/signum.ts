/** Signum, the sign of a momentum (Bernstein et al., 2018). */
import { atLeast, below, flag, object, type z } from "../../src/core/options.ts";
import { addScaled, lerp, neg, scalar, sign, slot } from "../../src/fuse/expression.ts";
import { elementwise } from "../../src/optim/elementwise.ts";
import type { OptimizerRule } from "../../src/optim/rule.ts";
import { ascent, decayed, shrinkOf } from "../../src/optim/terms.ts";

const options = object({
  lr: atLeast(0).default(1e-3),
  momentum: below(0, 1).default(0.9),
  weight_decay: atLeast(0).default(0),
  maximize: flag().default(false),
});

/** m = lerp(m, g, 1 - momentum);   p = p (1 - lr weight_decay) - lr sign(m) */
export const signum: OptimizerRule = elementwise<
  z.output<typeof options>,
  { maximize: boolean; decay: boolean }
>({
  name: "Signum",
  options,
  slots: { momentum_buffer: {} },
  form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
  scalars: (o, _numbers, { baseLr }) => ({
    lr: o.lr,
    take: 1 - o.momentum,
    shrink: shrinkOf(o, baseLr),
  }),
  update({ maximize, decay }) {
    const m = lerp(slot("momentum_buffer"), ascent(maximize), scalar("take"));
    const p = decayed(decay);
    return { param: addScaled(p, sign(m), neg(scalar("lr"))), slots: { momentum_buffer: m } };
  },
});
