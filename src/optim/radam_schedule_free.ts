/** Schedule-Free RAdam (Defazio et al., 2024): neither a schedule nor a warm-up is needed. */
import { atLeast, flag, object, pair, type z } from "../core/options.ts";
import { add, addScaled, div, gt, param, scalar, select, sqrt } from "../fuse/expression.ts";
import { secondMoment } from "./adam.ts";
import { openUnit } from "./adamw_schedule_free.ts";
import { elementwise } from "./elementwise.ts";
import { averageLength, rectification } from "./radam.ts";
import type { OptimizerRule } from "./rule.ts";
import {
  averagedUpdate,
  averageNumbers,
  averageOptions,
  averageScalars,
  evaluationWeights,
  momentScalars,
  zSlot,
} from "./schedule_free.ts";
import { ascent } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(2.5e-3),
  betas: pair(openUnit(), openUnit()).default([0.9, 0.999]),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
  ...averageOptions,
  silent_sgd_phase: flag().default(true),
  maximize: flag().default(false),
});

/**
 *     rho_t > 4:  lr_t = lr r_t,  n = g / (sqrt(v / (1 - b2^t)) + eps);   else  n = g and
 *     lr_t = silent_sgd_phase ? 0 : lr;   then  n = n + weight_decay y
 *     rho_t, r_t: see radam.ts; z, x, y: see schedule_free.ts
 *
 * Call `eval()` before the weights are evaluated or saved for use, `train()` before the next update.
 */
export const radamScheduleFree: OptimizerRule = elementwise<
  z.output<typeof options>,
  { maximize: boolean; decay: boolean }
>({
  name: "RAdamScheduleFree",
  options,
  slots: { z: zSlot, exp_avg_sq: {} },
  numbers: averageNumbers,
  form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
  scalars(o, numbers) {
    const step = ++numbers.step;
    const { rho, limit } = averageLength(o.betas[1], step);
    const adaptive = rho > 4;
    const factor = adaptive ? rectification(rho, limit) : o.silent_sgd_phase ? 0 : 1;
    return {
      ...averageScalars(o, numbers, o.lr * factor, o.betas[0]),
      ...momentScalars(o.betas[1], step),
      adaptive: adaptive ? 1 : 0,
      eps: o.eps,
      weight_decay: o.weight_decay,
    };
  },
  update({ maximize, decay }) {
    const g = ascent(maximize);
    const v = secondMoment(g);
    const scaled = div(g, add(sqrt(div(v, scalar("correction2"))), scalar("eps")));
    const direction = select(gt(scalar("adaptive"), 0), scaled, g);
    const n = decay ? addScaled(direction, param, scalar("weight_decay")) : direction;
    const update = averagedUpdate(n);
    return { ...update, slots: { ...update.slots, exp_avg_sq: v } };
  },
  evaluation: evaluationWeights((o) => (o as z.output<typeof options>).betas[0]),
});
