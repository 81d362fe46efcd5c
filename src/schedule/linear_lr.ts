/** A straight line between two factors of the base rate, as torch's LinearLR. */
import { between, integer, object, type z } from "../core/options.ts";
import { total, unitFactor } from "./options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  start_factor: unitFactor().default(1 / 3),
  end_factor: between(0, 1).default(1),
  total_iters: total(integer(0), "must be an integer >= 0").default(5),
});

/** lr(k) = base (s + (e - s) min(k, T) / T); with total_iters = 0 base s for ever. */
export const linearLr: SchedulerRule = schedule<z.output<typeof options>>({
  name: "LinearLR",
  options,
  next(k, lr, _base, { start_factor: start, end_factor: end, total_iters: total }) {
    if (k === 0) return lr * start;
    if (k > total) return lr;
    return lr * (1 + (end - start) / (total * start + (k - 1) * (end - start)));
  },
  at(k, base, { start_factor: start, end_factor: end, total_iters: total }) {
    return base * (total === 0 ? start : start + (end - start) * Math.min(total, k) / total);
  },
});
