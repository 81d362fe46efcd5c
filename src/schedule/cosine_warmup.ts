/**
 * Linear warm-up, then a cosine: BasicTS' CosineWarmup, which is Hugging Face's `cosine`; and one
 * that stays at its end.
 */
import { cos } from "../core/math.ts";
import { integer, number, object, type z } from "../core/options.ts";
import { total } from "./options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";
import { warmup } from "./warmup.ts";

const options = object({
  num_warmup_steps: integer(0),
  num_training_steps: total(integer(0), "must be an integer >= 0"),
  num_cycles: number().default(0.5),
});
type Options = z.output<typeof options>;

function factor(k: number, o: Options): number {
  return warmup(k, o, (p) => Math.max(0, 0.5 * (1 + cos(Math.PI * o.num_cycles * 2 * p))));
}

/**
 *     k <  W   base k / max(1, W)
 *     k >= W   base max(0, (1 + cos(2 pi cycles (k - W) / max(1, N - W))) / 2)
 *
 * Step 0 has rate 0 when W > 0, and past N the cosine rises again, as in the originals.
 */
export const cosineWarmup: SchedulerRule = factorSchedule<Options>({
  name: "CosineWarmup",
  options,
  factor,
});

/** CosineWarmup that keeps the rate of step N from there on. */
export const clampedCosineWarmup: SchedulerRule = factorSchedule<Options>({
  name: "ClampedCosineWarmup",
  options,
  factor: (k, o) => factor(Math.min(k, Math.max(o.num_warmup_steps, o.num_training_steps)), o),
});
