/** A power of the steps left, as torch's PolynomialLR. */
import { pow } from "../core/math.ts";
import { atLeast, integer, object, type z } from "../core/options.ts";
import { total } from "./options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  total_iters: total(integer(0), "must be an integer >= 0").default(5),
  power: atLeast(0).default(1),
});

/** lr(k) = base (1 - min(k, T) / T)^power; with total_iters = 0 the rate stays. */
export const polynomialLr: SchedulerRule = schedule<z.output<typeof options>>({
  name: "PolynomialLR",
  options,
  next(k, lr, _base, { total_iters: total, power }) {
    if (k === 0 || k > total) return lr;
    return lr * pow((1 - k / total) / (1 - (k - 1) / total), power);
  },
  at: (k, base, { total_iters: total, power }) =>
    total === 0 ? base : base * pow(1 - Math.min(total, k) / total, power),
});
