/** Cosines that start again at the base rate, as torch's CosineAnnealingWarmRestarts. */
import { cos } from "../core/math.ts";
import { integer, number, object, type z } from "../core/options.ts";
import { perGroup } from "./options.ts";
import { absoluteSchedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  T_0: integer(1),
  T_mult: integer(1).default(1),
  eta_min: perGroup(number(), "must be a finite number").default(0),
});

/**
 * lr = eta_min + (base - eta_min) (1 + cos(pi t / T)) / 2 at step t of a cycle of T steps; the first
 * cycle has T_0, each later one T_mult times as many. SGDR, arXiv 1608.03983.
 */
export const cosineAnnealingWarmRestarts: SchedulerRule = absoluteSchedule<
  z.output<typeof options>
>({
  name: "CosineAnnealingWarmRestarts",
  options,
  perGroup: ["eta_min"],
  at(k, base, { T_0, T_mult, eta_min }) {
    let t = T_mult === 1 ? k % T_0 : k;
    let length = T_0;
    for (; t >= length; length *= T_mult) t -= length;
    return eta_min + (base - eta_min) * (1 + cos(Math.PI * t / length)) / 2;
  },
});
