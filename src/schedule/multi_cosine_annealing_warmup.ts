/** Warm-up, then cosines of given lengths and heights: what easytorch's MultiCosineAnnealingWarmupLR means. */
import { cos } from "../core/math.ts";
import { integer, list, number, object, type z } from "../core/options.ts";
import { perGroup, total } from "./options.ts";
import { absoluteSchedule, type SchedulerRule } from "./schedule.ts";

const options = object({
  final_epoch: total(),
  T_0: list(integer(1), "must be an array of integers >= 1").default([]),
  lr_mult: list(number(), "must be an array of numbers").default([]),
  warmup_begin: integer(0).default(0),
  warmup_factor: number().default(0.01),
  eta_min: perGroup(number(), "must be a finite number").default(0),
});

/**
 * Sections start at 0 and at each step of `T_0`, the last ends before `final_epoch`; section i > 0
 * peaks at lr_mult[i - 1] base.
 *
 *     k < W          base (f + (1 - f) k / W), W = warmup_begin, f = warmup_factor
 *     in a section   eta_min + (peak - eta_min) (1 + cos(pi t / T)) / 2
 *
 * t counts from the section's start (the first one's from W), T is its last t, after which the rate stays.
 */
export const multiCosineAnnealingWarmup: SchedulerRule = absoluteSchedule<
  z.output<typeof options>
>({
  name: "MultiCosineAnnealingWarmup",
  options,
  perGroup: ["eta_min"],
  check({ final_epoch, T_0, lr_mult, warmup_begin }) {
    if (lr_mult.length !== T_0.length) {
      return [
        "lr_mult",
        `must hold as many numbers as T_0 (${T_0.length}), received ${lr_mult.length}`,
      ];
    }
    const ends = [warmup_begin, ...T_0, final_epoch];
    const fall = ends.findIndex((end, i) => i > 0 && end <= ends[i - 1]);
    if (fall < 0) return;
    const rule = "warmup_begin, T_0 and final_epoch must rise";
    return [
      fall === ends.length - 1 ? "final_epoch" : "T_0",
      `${rule}, received ${ends.join(", ")}`,
    ];
  },
  at(k, base, { final_epoch, T_0, lr_mult, warmup_begin, warmup_factor, eta_min }) {
    if (k < warmup_begin) return base * (warmup_factor + (1 - warmup_factor) * k / warmup_begin);
    const section = T_0.filter((start) => start <= k).length;
    const start = section === 0 ? warmup_begin : T_0[section - 1];
    const length = (T_0[section] ?? final_epoch) - start - 1;
    const peak = section === 0 ? base : lr_mult[section - 1] * base;
    const progress = length === 0 ? 0 : Math.min(k - start, length) / length;
    return eta_min + (peak - eta_min) * (1 + cos(Math.PI * progress)) / 2;
  },
});
