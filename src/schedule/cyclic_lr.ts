/** Goes up and down between two rates, as torch's CyclicLR. */
import { pow } from "../core/math.ts";
import { above, atLeast, flag, number, object, oneOf, z } from "../core/options.ts";
import { noteMomenta } from "./momentum.ts";
import { perGroup } from "./options.ts";
import { absoluteSchedule, type SchedulerRule } from "./schedule.ts";

const rates = () => perGroup(number(), "must be a finite number");

const options = object({
  base_lr: rates(),
  max_lr: rates(),
  step_size_up: above(0).default(2000),
  step_size_down: atLeast(0).nullish(),
  mode: oneOf(["triangular", "triangular2", "exp_range"]).default("triangular"),
  gamma: number().default(1),
  scale_fn: z.custom<(x: number) => number>((value) => typeof value === "function", {
    error: "must be a function (in a program; a JSON config has mode)",
  }).nullish(),
  scale_mode: oneOf(["cycle", "iterations"]).default("cycle"),
  cycle_momentum: flag().default(true),
  base_momentum: rates().default(0.8),
  max_momentum: rates().default(0.9),
});
type Options = z.output<typeof options>;

/** How far between low (0) and high (1) step k is. */
function height(k: number, o: Options): number {
  const down = o.step_size_down ?? o.step_size_up;
  const size = o.step_size_up + down;
  const ratio = o.step_size_up / size;
  const cycle = Math.floor(1 + k / size);
  const x = 1 + k / size - cycle;
  const triangle = x <= ratio ? x / ratio : (x - 1) / (ratio - 1);
  return triangle * scale(cycle, k, o);
}

function scale(cycle: number, k: number, o: Options): number {
  if (o.scale_fn) return o.scale_fn(o.scale_mode === "cycle" ? cycle : k);
  if (o.mode === "triangular") return 1;
  return o.mode === "triangular2" ? 1 / pow(2, cycle - 1) : pow(o.gamma, k);
}

/**
 * lr(k) = base_lr + (max_lr - base_lr) s(k), s a triangle of `step_size_up` and `step_size_down`
 * steps times 1, 1 / 2^(cycle - 1) or gamma^k by `mode`, or times `scale_fn`.
 *
 * With `cycle_momentum`, momentum (`betas[0]` where there is one) is max_momentum - (max_momentum -
 * base_momentum) s(k). Each group's rate becomes base_lr at once. The groups
 * get max_lr (here not by torch: corrected weight decay asks for the peak), max_momentum and
 * base_momentum. Smith, arXiv 1506.01186.
 */
export const cyclicLr: SchedulerRule = absoluteSchedule<Options>({
  name: "CyclicLR",
  options,
  perGroup: ["base_lr", "max_lr", "base_momentum", "max_momentum"],
  start(group, o) {
    group.lr = o.base_lr;
    group.max_lr = o.max_lr;
    if (o.cycle_momentum) noteMomenta(group, o);
  },
  base: (o) => o.base_lr,
  at: (k, base, o) => base + (o.max_lr - base) * height(k, o),
  momentum: (k, o) =>
    o.cycle_momentum
      ? o.max_momentum - (o.max_momentum - o.base_momentum) * height(k, o)
      : undefined,
});
