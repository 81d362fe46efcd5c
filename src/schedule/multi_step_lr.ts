/** Multiplies the rate by gamma at each milestone, as torch's MultiStepLR. */
import { pow } from "../core/math.ts";
import { integer, list, number, object, type z } from "../core/options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  milestones: list(integer(0), "must be an array of integers >= 0"),
  gamma: number().default(0.1),
});

/** lr(k) = base gamma^(number of milestones <= k); the order is free, a repeated one counts twice. */
export const multiStepLr: SchedulerRule = schedule<z.output<typeof options>>({
  name: "MultiStepLR",
  options,
  next: (k, lr, _base, o) => lr * pow(o.gamma, o.milestones.filter((m) => m === k).length),
  at: (k, base, o) => base * pow(o.gamma, o.milestones.filter((m) => m <= k).length),
});
