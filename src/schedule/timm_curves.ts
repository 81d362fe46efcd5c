/** timm's curves in cycles: cosine, poly and tanh, with the steps k-decay. */
import { cos, pow, tanh } from "../core/math.ts";
import { above, atLeast, number, object, type z } from "../core/options.ts";
import type { SchedulerRule } from "./schedule.ts";
import { cycleAt, cycleOptions, timmSchedule } from "./timm.ts";

const cosineOptions = object({ ...cycleOptions, k_decay: above(0).default(1) });

/** lr_min + (peak - lr_min) (1 + cos(pi t^k / T^k)) / 2. SGDR, arXiv 1608.03983; k-decay, arXiv 2004.05909. */
export const timmCosine: SchedulerRule = timmSchedule<z.output<typeof cosineOptions>>({
  name: "TimmCosine",
  options: cosineOptions,
  perGroup: ["warmup_lr_init", "lr_min"],
  curve(step, base, o) {
    const cycle = cycleAt(step, base, o);
    if (cycle === undefined) return o.lr_min;
    const progress = pow(cycle.t, o.k_decay) / pow(cycle.length, o.k_decay);
    return o.lr_min + 0.5 * (cycle.peak - o.lr_min) * (1 + cos(Math.PI * progress));
  },
});

const polyOptions = object({
  ...cycleOptions,
  power: atLeast(0).default(0.5),
  k_decay: above(0).default(1),
});

/** lr_min + (peak - lr_min) (1 - t^k / T^k)^power. k-decay, arXiv 2004.05909. */
export const timmPoly: SchedulerRule = timmSchedule<z.output<typeof polyOptions>>({
  name: "TimmPoly",
  options: polyOptions,
  perGroup: ["warmup_lr_init", "lr_min"],
  curve(step, base, o) {
    const cycle = cycleAt(step, base, o);
    if (cycle === undefined) return o.lr_min;
    const progress = pow(cycle.t, o.k_decay) / pow(cycle.length, o.k_decay);
    return o.lr_min + (cycle.peak - o.lr_min) * pow(1 - progress, o.power);
  },
});

const tanhOptions = object({
  ...cycleOptions,
  lb: number().default(-7),
  ub: number().default(3),
});
type TanhOptions = z.output<typeof tanhOptions>;

/** lr_min + (peak - lr_min) (1 - tanh(lb (1 - r) + ub r)) / 2, r = t / T. arXiv 1806.01593. */
export const timmTanh: SchedulerRule = timmSchedule<TanhOptions>({
  name: "TimmTanh",
  options: tanhOptions,
  perGroup: ["warmup_lr_init", "lr_min"],
  curve: tanhCurve,
  warmupEnd: (base, o) => tanhCurve(o.warmup_t, base, o),
});

function tanhCurve(step: number, base: number, o: TanhOptions): number {
  const cycle = cycleAt(step, base, o);
  if (cycle === undefined) return o.lr_min;
  const r = cycle.t / cycle.length;
  return o.lr_min + 0.5 * (cycle.peak - o.lr_min) * (1 - tanh(o.lb * (1 - r) + o.ub * r));
}
