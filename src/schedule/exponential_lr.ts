/** Multiplies the rate by gamma every step, as torch's ExponentialLR. */
import { pow } from "../core/math.ts";
import { number, object, type z } from "../core/options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({ gamma: number() });

/** lr(k) = base gamma^k. */
export const exponentialLr: SchedulerRule = schedule<z.output<typeof options>>({
  name: "ExponentialLR",
  options,
  next: (k, lr, _base, o) => k === 0 ? lr : lr * o.gamma,
  at: (k, base, o) => base * pow(o.gamma, k),
});
