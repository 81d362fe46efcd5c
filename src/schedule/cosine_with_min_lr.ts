/** Hugging Face's `cosine_with_min_lr` and `cosine_warmup_with_min_lr`. */
import { cos } from "../core/math.ts";
import { atLeast, integer, number, object, type z } from "../core/options.ts";
import { total } from "./options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";
import { warmup } from "./warmup.ts";

const options = object({
  num_warmup_steps: integer(0),
  num_training_steps: total(integer(0), "must be an integer >= 0"),
  num_cycles: number().default(0.5),
  min_lr: atLeast(0).nullish(),
  min_lr_rate: atLeast(0).nullish(),
});
type Options = z.output<typeof options>;

const rateOptions = options.extend({ warmup_lr_rate: atLeast(0).nullish() });

function check(o: Options): ["min_lr", string] | undefined {
  if ((o.min_lr == null) !== (o.min_lr_rate == null)) return undefined;
  return ["min_lr", `or min_lr_rate must be given, and not both`];
}

function decay(p: number, o: Options, defaultLr: number): number {
  const least = o.min_lr_rate ?? o.min_lr! / defaultLr;
  return Math.max(0, 0.5 * (1 + cos(Math.PI * o.num_cycles * 2 * p)) * (1 - least) + least);
}

/**
 *     k <  W   base k / max(1, W)
 *     k >= W   base (c (1 - m) + m), c = (1 + cos(2 pi cycles (k - W) / max(1, N - W))) / 2
 *
 * m is min_lr_rate, or min_lr over the optimizer's own lr, as there.
 */
export const cosineWithMinLr: SchedulerRule = factorSchedule<Options>({
  name: "cosine_with_min_lr",
  options,
  check,
  factor: (k, o, defaultLr) => warmup(k, o, (p) => decay(p, o, defaultLr)),
});

/**
 * cosine_with_min_lr one step ahead: the first rate is not 0, the least is reached at N - 1.
 *
 *     k <  W   base (k + 1) / W, or with r = warmup_lr_rate base (r + (1 - r) k / max(1, W - 1))
 *     k >= W   base (c (1 - m) + m), c = (1 + cos(2 pi cycles (k + 1 - W) / max(1, N - W))) / 2
 */
export const cosineWarmupWithMinLr: SchedulerRule = factorSchedule<z.output<typeof rateOptions>>({
  name: "cosine_warmup_with_min_lr",
  options: rateOptions,
  check,
  factor(k, o, defaultLr) {
    const { num_warmup_steps: warmup, num_training_steps: total, warmup_lr_rate: first } = o;
    if (k >= warmup) return decay((k + 1 - warmup) / Math.max(1, total - warmup), o, defaultLr);
    if (first == null) return (k + 1) / Math.max(1, warmup);
    return first + (1 - first) * k / Math.max(1, warmup - 1);
  },
});
