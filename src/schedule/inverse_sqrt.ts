/** Hugging Face's `inverse_sqrt`. */
import { above, integer, object, type z } from "../core/options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";
import { warmup } from "./warmup.ts";

const options = object({ num_warmup_steps: integer(0), timescale: above(0).nullish() });

/** base k / W up to W, then base / sqrt((k - W + timescale) / timescale); timescale is W, or 10000 if W is 0. */
export const inverseSqrt: SchedulerRule = factorSchedule<z.output<typeof options>>({
  name: "inverse_sqrt",
  options,
  factor(k, o) {
    const scale = o.timescale ?? (o.num_warmup_steps || 10_000);
    return warmup(k, o, () => 1 / Math.sqrt((k + scale - o.num_warmup_steps) / scale));
  },
});
