/** timm's step and multistep. */
import { pow } from "../core/math.ts";
import { above, flag, integer, list, number, object, type z } from "../core/options.ts";
import type { SchedulerRule } from "./schedule.ts";
import { timmOptions, timmSchedule } from "./timm.ts";

const common = {
  ...timmOptions,
  warmup_prefix: flag().default(true),
  decay_rate: number().default(1),
};

const stepOptions = object({ ...common, decay_t: above(0) });

/** base decay_rate^floor(t / decay_t). */
export const timmStep: SchedulerRule = timmSchedule<z.output<typeof stepOptions>>({
  name: "TimmStep",
  options: stepOptions,
  perGroup: ["warmup_lr_init"],
  curve: (t, base, o) => base * pow(o.decay_rate, Math.floor(t / o.decay_t)),
});

const multiStepOptions = object({
  ...common,
  decay_t: list(integer(0), "must be an array of integers >= 0"),
});

/** base decay_rate^(number of decay_t <= t + 1): one step earlier than torch's MultiStepLR. */
export const timmMultiStep: SchedulerRule = timmSchedule<z.output<typeof multiStepOptions>>({
  name: "TimmMultiStep",
  options: multiStepOptions,
  perGroup: ["warmup_lr_init"],
  curve: (t, base, o) => base * pow(o.decay_rate, o.decay_t.filter((m) => m <= t + 1).length),
});
