/** A lower rate for some steps, then the base rate, as torch's ConstantLR. */
import { between, integer, object, type z } from "../core/options.ts";
import { total } from "./options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  factor: between(0, 1).default(1 / 3),
  total_iters: total(integer(0), "must be an integer >= 0").default(5),
});

/**
 * lr(k) = base factor for k < total_iters, then base; with total_iters = 0 base factor for ever.
 *
 * A factor of 0 ends at base too, where torch divides by it.
 */
export const constantLr: SchedulerRule = schedule<z.output<typeof options>>({
  name: "ConstantLR",
  options,
  next(k, lr, base, o) {
    if (k === 0) return lr * o.factor;
    if (k !== o.total_iters) return lr;
    return o.factor === 0 ? base : lr * (1 / o.factor);
  },
  at: (k, base, o) => base * (k >= o.total_iters && o.total_iters > 0 ? 1 : o.factor),
  restart: (_lr, base, o) => base * (o.total_iters > 0 ? o.factor : 1),
});
