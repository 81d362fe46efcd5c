/** Schedule-Free SGD (Defazio et al., 2024): no schedule is needed beside a warm-up. */
import { atLeast, flag, integer, object, type z } from "../core/options.ts";
import { openUnit } from "./adamw_schedule_free.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import {
  averagedUpdate,
  averageNumbers,
  averageOptions,
  averageScalars,
  evaluationWeights,
  warmedUp,
  zSlot,
} from "./schedule_free.ts";
import { ascent, withL2 } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1),
  momentum: openUnit().default(0.9),
  weight_decay: atLeast(0).default(0),
  warmup_steps: integer(0).default(0),
  ...averageOptions,
  maximize: flag().default(false),
});

/**
 *     n = g + weight_decay y;   lr grows linearly over warmup_steps
 *     z, x, y: see schedule_free.ts, with b1 = momentum
 *
 * Call `eval()` before the weights are evaluated or saved for use, `train()` before the next update.
 */
export const sgdScheduleFree: OptimizerRule = elementwise<
  z.output<typeof options>,
  { maximize: boolean; decay: boolean }
>({
  name: "SGDScheduleFree",
  options,
  slots: { z: zSlot },
  numbers: averageNumbers,
  form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
  scalars(o, numbers) {
    const lr = warmedUp(o, numbers);
    return { ...averageScalars(o, numbers, lr, o.momentum), weight_decay: o.weight_decay };
  },
  update: ({ maximize, decay }) => averagedUpdate(withL2(ascent(maximize), decay)),
  evaluation: evaluationWeights((o) => (o as z.output<typeof options>).momentum),
});
