/** Hugging Face's `constant`, `constant_with_warmup` and `linear`. */
import { integer, object, type z } from "../core/options.ts";
import { total } from "./options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";
import { warmup } from "./warmup.ts";

/** The base rate. */
export const constant: SchedulerRule = factorSchedule({
  name: "constant",
  options: object({}),
  factor: () => 1,
});

const warmupOptions = object({ num_warmup_steps: integer(0) });

/** base min(1, k / W). */
export const constantWithWarmup: SchedulerRule = factorSchedule<z.output<typeof warmupOptions>>({
  name: "constant_with_warmup",
  options: warmupOptions,
  factor: (k, o) => warmup(k, o, () => 1),
});

const linearOptions = object({
  num_warmup_steps: integer(0),
  num_training_steps: total(integer(0), "must be an integer >= 0"),
});

/** base k / W up to W, then base max(0, (N - k) / max(1, N - W)). */
export const linear: SchedulerRule = factorSchedule<z.output<typeof linearOptions>>({
  name: "linear",
  options: linearOptions,
  factor(k, { num_warmup_steps: warmup, num_training_steps: total }) {
    if (k < warmup) return k / Math.max(1, warmup);
    return Math.max(0, (total - k) / Math.max(1, total - warmup));
  },
});
