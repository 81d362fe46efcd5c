/** Multiplies the rate by gamma every `step_size` steps, as torch's StepLR. */
import { pow } from "../core/math.ts";
import { integer, number, object, type z } from "../core/options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({ step_size: integer(1), gamma: number().default(0.1) });

/** lr(k) = base gamma^floor(k / step_size). */
export const stepLr: SchedulerRule = schedule<z.output<typeof options>>({
  name: "StepLR",
  options,
  next: (k, lr, _base, o) => k > 0 && k % o.step_size === 0 ? lr * o.gamma : lr,
  at: (k, base, o) => base * pow(o.gamma, Math.floor(k / o.step_size)),
});
