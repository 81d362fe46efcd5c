/** The rate is the base rate times a function of the step, as torch's LambdaLR. */
import { object, type z } from "../core/options.ts";
import { stepFunction } from "./options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";

const options = object({ lr_lambda: stepFunction() });

/** lr(k) = base lr_lambda(k); an array gives each group its own function. */
export const lambdaLr: SchedulerRule = factorSchedule<z.output<typeof options>>({
  name: "LambdaLR",
  options,
  perGroup: ["lr_lambda"],
  factor: (k, o) => o.lr_lambda(k),
});
