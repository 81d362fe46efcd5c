/** Linear warm-up, then cosines from 1 to 0: BasicTS' CosineWarmupRestarts, Hugging Face's `cosine_with_restarts`. */
import { cos } from "../core/math.ts";
import { integer, number, object, type z } from "../core/options.ts";
import { total } from "./options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";
import { warmup } from "./warmup.ts";

const options = object({
  num_warmup_steps: integer(0),
  num_training_steps: total(integer(0), "must be an integer >= 0"),
  num_cycles: number().default(1),
});

/**
 *     k <  W   base k / max(1, W)
 *     k >= W   base (1 + cos(pi (cycles p mod 1))) / 2 with p = (k - W) / max(1, N - W); 0 for p >= 1
 */
export const cosineWarmupRestarts: SchedulerRule = factorSchedule<z.output<typeof options>>({
  name: "CosineWarmupRestarts",
  options,
  factor: (k, o) =>
    warmup(
      k,
      o,
      (p) => p >= 1 ? 0 : Math.max(0, 0.5 * (1 + cos(Math.PI * ((o.num_cycles * p) % 1)))),
    ),
});
