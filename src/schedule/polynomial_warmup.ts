/** Hugging Face's `polynomial`. */
import { pow } from "../core/math.ts";
import { atLeast, integer, number, object, type z } from "../core/options.ts";
import { total } from "./options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  num_warmup_steps: integer(0),
  num_training_steps: total(integer(0), "must be an integer >= 0"),
  lr_end: number().default(1e-7),
  power: atLeast(0).default(1),
});

/**
 *     k <  W   base k / max(1, W)
 *     k <= N   base ((b - lr_end) (1 - (k - W) / (N - W))^power + lr_end) / b
 *     k >  N   base lr_end / b
 *
 * b is the optimizer's own lr, as there: a group of this rate ends at lr_end, others in proportion.
 */
export const polynomial: SchedulerRule = factorSchedule<z.output<typeof options>>({
  name: "polynomial",
  options,
  check(o, defaultLr) {
    if (!(o.lr_end < defaultLr)) {
      return ["lr_end", `must be below the optimizer's lr ${defaultLr}, received ${o.lr_end}`];
    }
    if (o.num_training_steps > o.num_warmup_steps) return;
    return [
      "num_training_steps",
      `must be above num_warmup_steps (${o.num_warmup_steps}), received ${o.num_training_steps}`,
    ];
  },
  factor(
    k,
    { num_warmup_steps: warmup, num_training_steps: total, lr_end: end, power },
    defaultLr,
  ) {
    if (k < warmup) return k / Math.max(1, warmup);
    if (k > total) return end / defaultLr;
    return ((defaultLr - end) * pow(1 - (k - warmup) / (total - warmup), power) + end) / defaultLr;
  },
});
