/** Anneals from the rate in force to a constant one, as torch's SWALR. */
import { cos } from "../core/math.ts";
import { integer, number, object, oneOf, type z } from "../core/options.ts";
import { perGroup } from "./options.ts";
import { schedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  swa_lr: perGroup(number(), "must be a finite number"),
  anneal_epochs: integer(0).default(10),
  anneal_strategy: oneOf(["cos", "linear"]).default("cos"),
});
type Options = z.output<typeof options>;

/** The share of swa_lr after `step` of the anneal's steps. */
function share(step: number, o: Options): number {
  const t = Math.max(0, Math.min(1, step / Math.max(1, o.anneal_epochs)));
  return o.anneal_strategy === "cos" ? (1 - cos(Math.PI * t)) / 2 : t;
}

/**
 * lr(k) = a(k) swa_lr + (1 - a(k)) lr0, lr0 the rate it started from (recovered from the current one),
 * a a line or half a cosine over `anneal_epochs` steps; 0 of them: swa_lr at once.
 */
export const swaLr: SchedulerRule = schedule<Options>({
  name: "SWALR",
  options,
  perGroup: ["swa_lr"],
  next(k, lr, _base, o) {
    const step = o.anneal_epochs === 0 ? Math.max(1, k) : k;
    const before = share(step - 1, o);
    const start = before === 1 ? o.swa_lr : (lr - before * o.swa_lr) / (1 - before);
    const now = share(step, o);
    return o.swa_lr * now + start * (1 - now);
  },
});
