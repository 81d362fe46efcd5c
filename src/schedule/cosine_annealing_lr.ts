/** Half a cosine from the base rate to eta_min, as torch's CosineAnnealingLR, and one that stays there. */
import { cos } from "../core/math.ts";
import { above, number, object, type z } from "../core/options.ts";
import { perGroup, total } from "./options.ts";
import { absoluteSchedule, schedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  T_max: total(above(0), "must be a number > 0"),
  eta_min: perGroup(number(), "must be a finite number").default(0),
});
type Options = z.output<typeof options>;

function closedForm(k: number, base: number, { T_max, eta_min }: Options): number {
  return eta_min + (base - eta_min) * (1 + cos(Math.PI * k / T_max)) / 2;
}

/**
 * lr(k) = eta_min + (base - eta_min) (1 + cos(pi k / T_max)) / 2: past T_max the rate rises again,
 * with period 2 T_max. Loshchilov and Hutter, arXiv 1608.03983.
 */
export const cosineAnnealingLr: SchedulerRule = schedule<Options>({
  name: "CosineAnnealingLR",
  options,
  perGroup: ["eta_min"],
  next(k, lr, base, { T_max, eta_min }) {
    if (k === 0) return lr;
    // After a minimum the ratio below would be 0 / 0.
    if ((k - 1 - T_max) % (2 * T_max) === 0) {
      return lr + (base - eta_min) * (1 - cos(Math.PI / T_max)) / 2;
    }
    const ratio = (1 + cos(Math.PI * k / T_max)) / (1 + cos(Math.PI * (k - 1) / T_max));
    return ratio * (lr - eta_min) + eta_min;
  },
  at: closedForm,
});

/** CosineAnnealingLR that stays at eta_min from T_max on; absolute: a rate changed by hand is overwritten. */
export const clampedCosineAnnealingLr: SchedulerRule = absoluteSchedule<Options>({
  name: "ClampedCosineAnnealingLR",
  options,
  perGroup: ["eta_min"],
  at: (k, base, o) => k >= o.T_max ? o.eta_min : closedForm(k, base, o),
});
