/** A lower rate for some steps, then the base rate, as torch's ConstantLR. */
import { integer, object, type z } from "../core/options.ts";
import { total, unitFactor } from "./options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  factor: unitFactor().default(1 / 3),
  total_iters: total(integer(0), "must be an integer >= 0").default(5),
});

/** lr(k) = base factor for k < total_iters, then base; with total_iters = 0 base factor for ever. */
export const constantLr: SchedulerRule = schedule<z.output<typeof options>>({
  name: "ConstantLR",
  options,
  next(k, lr, _base, o) {
    if (k === 0) return lr * o.factor;
    return k === o.total_iters ? lr * (1 / o.factor) : lr;
  },
  at: (k, base, o) => base * (k >= o.total_iters && o.total_iters > 0 ? 1 : o.factor),
  restart: (_lr, base, o) => base * (o.total_iters > 0 ? o.factor : 1),
});
