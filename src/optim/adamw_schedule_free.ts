/** Schedule-Free AdamW (Defazio et al., 2024): no schedule is needed beside a warm-up. */
import { atLeast, flag, integer, object, pair, z } from "../core/options.ts";
import { add, addScaled, div, param, scalar, sqrt } from "../fuse/expression.ts";
import { secondMoment } from "./adam.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import {
  averagedUpdate,
  averageNumbers,
  averageOptions,
  averageScalars,
  evaluationWeights,
  momentScalars,
  warmedUp,
  zSlot,
} from "./schedule_free.ts";
import { ascent } from "./terms.ts";

const betaRule = "must be a number in (0, 1)";

/** A number in (0, 1): y must hold some of x, and some of z. */
export const openUnit = (): z.ZodNumber =>
  z.number({ error: betaRule }).gt(0, { error: betaRule }).lt(1, { error: betaRule });

const options = object({
  lr: atLeast(0).default(2.5e-3),
  betas: pair(openUnit(), openUnit()).default([0.9, 0.999]),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
  warmup_steps: integer(0).default(0),
  ...averageOptions,
  maximize: flag().default(false),
});

/**
 *     v = b2 v + (1 - b2) g^2;   n = g / (sqrt(v / (1 - b2^t)) + eps) + weight_decay y
 *     lr grows linearly over warmup_steps; z, x, y: see schedule_free.ts
 *
 * Call `eval()` before the weights are evaluated or saved for use, `train()` before the next update.
 */
export const adamwScheduleFree: OptimizerRule = elementwise<
  z.output<typeof options>,
  { maximize: boolean; decay: boolean }
>({
  name: "AdamWScheduleFree",
  options,
  slots: { z: zSlot, exp_avg_sq: {} },
  numbers: averageNumbers,
  form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
  scalars(o, numbers) {
    const lr = warmedUp(o, numbers);
    return {
      ...averageScalars(o, numbers, lr, o.betas[0]),
      ...momentScalars(o.betas[1], numbers.step),
      eps: o.eps,
      weight_decay: o.weight_decay,
    };
  },
  update({ maximize, decay }) {
    const g = ascent(maximize);
    const v = secondMoment(g);
    const adaptive = div(g, add(sqrt(div(v, scalar("correction2"))), scalar("eps")));
    const n = decay ? addScaled(adaptive, param, scalar("weight_decay")) : adaptive;
    const update = averagedUpdate(n);
    return { ...update, slots: { ...update.slots, exp_avg_sq: v } };
  },
  evaluation: evaluationWeights((o) => (o as z.output<typeof options>).betas[0]),
});
