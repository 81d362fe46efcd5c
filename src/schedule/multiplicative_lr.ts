/** Each step multiplies the rate by a function of the step, as torch's MultiplicativeLR. */
import { object, type z } from "../core/options.ts";
import { stepFunction } from "./options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({ lr_lambda: stepFunction() });

/** lr(k) = lr(k - 1) lr_lambda(k); the function is not called for k = 0, except after another schedule. */
export const multiplicativeLr: SchedulerRule = schedule<z.output<typeof options>>({
  name: "MultiplicativeLR",
  options,
  perGroup: ["lr_lambda"],
  next: (k, lr, _base, o) => k === 0 ? lr : lr * o.lr_lambda(k),
  restart: (lr, _base, o) => lr * o.lr_lambda(0),
});
