/** Linear warm-up, then a cosine, as BasicTS' CosineWarmup and Hugging Face's cosine schedule. */
import { cos } from "../core/math.ts";
import { integer, number, object, type z } from "../core/options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  num_warmup_steps: integer(0),
  num_training_steps: integer(0),
  num_cycles: number().default(0.5),
});

/**
 *     k <  W   base k / max(1, W)
 *     k >= W   base max(0, (1 + cos(2 pi cycles (k - W) / max(1, N - W))) / 2)
 *
 * Step 0 has rate 0 when W > 0, and past N the cosine rises again, as in the originals.
 */
export const cosineWarmup: SchedulerRule = factorSchedule<z.output<typeof options>>({
  name: "CosineWarmup",
  options,
  factor(k, { num_warmup_steps: warmup, num_training_steps: total, num_cycles: cycles }) {
    if (k < warmup) return k / Math.max(1, warmup);
    const progress = (k - warmup) / Math.max(1, total - warmup);
    return Math.max(0, 0.5 * (1 + cos(Math.PI * cycles * 2 * progress)));
  },
});
