/** One rise and fall of rate and momentum, as torch's OneCycleLR, and one that holds its end. */
import { cos } from "../core/math.ts";
import { ConfigError } from "../core/errors.ts";
import { above, between, flag, integer, number, object, oneOf, type z } from "../core/options.ts";
import { noteMomenta } from "./momentum.ts";
import { perGroup, total } from "./options.ts";
import { absoluteSchedule, type SchedulerRule, type ScheduleSpec } from "./schedule.ts";

const momenta = () => perGroup(number(), "must be a finite number");

const options = object({
  max_lr: perGroup(number(), "must be a finite number"),
  total_steps: total().nullish(),
  epochs: integer(1).nullish(),
  steps_per_epoch: integer(1).nullish(),
  pct_start: between(0, 1).default(0.3),
  anneal_strategy: oneOf(["cos", "linear"]).default("cos"),
  cycle_momentum: flag().default(true),
  base_momentum: momenta().default(0.85),
  max_momentum: momenta().default(0.95),
  div_factor: above(0).default(25),
  final_div_factor: above(0).default(1e4),
  three_phase: flag().default(false),
});
type Options = z.output<typeof options>;

const steps = (o: Options): number => o.total_steps ?? o.epochs! * o.steps_per_epoch!;

/** The value at step k of a path through `points`, one more than there are phases. */
function follow(k: number, points: readonly number[], o: Options): number {
  const size = steps(o);
  const ends = o.three_phase
    ? [o.pct_start * size - 1, 2 * o.pct_start * size - 2, size - 1]
    : [o.pct_start * size - 1, size - 1];
  const found = ends.findIndex((end) => k <= end);
  const phase = found < 0 ? ends.length - 1 : found;
  const start = phase === 0 ? 0 : ends[phase - 1];
  // A phase without length (pct_start 1) is at its end.
  const p = ends[phase] === start ? 1 : (k - start) / (ends[phase] - start);
  const [from, to] = [points[phase], points[phase + 1]];
  if (o.anneal_strategy === "linear") return (to - from) * p + from;
  return to + (from - to) / 2 * (cos(Math.PI * p) + 1);
}

function rate(k: number, initial: number, o: Options): number {
  const least = initial / o.final_div_factor;
  const path = o.three_phase ? [initial, o.max_lr, initial, least] : [initial, o.max_lr, least];
  return follow(k, path, o);
}

function momentum(k: number, o: Options): number | undefined {
  if (!o.cycle_momentum) return undefined;
  const path = [o.max_momentum, o.base_momentum, o.max_momentum, o.max_momentum];
  return follow(k, path, o);
}

const spec = {
  options,
  perGroup: ["max_lr", "base_momentum", "max_momentum"],
  check(o) {
    const byEpochs = o.epochs != null && o.steps_per_epoch != null;
    if (o.total_steps == null ? byEpochs : o.epochs == null && o.steps_per_epoch == null) return;
    return ["total_steps", "must be given, or epochs and steps_per_epoch, and not both"];
  },
  start(group, o) {
    group.initial_lr = o.max_lr / o.div_factor;
    group.max_lr = o.max_lr;
    group.min_lr = group.initial_lr as number / o.final_div_factor;
    if (o.cycle_momentum) noteMomenta(group, o);
  },
} satisfies Partial<ScheduleSpec<Options>>;

/**
 * From max_lr / div_factor to max_lr in pct_start of the steps, then down to the start's
 * 1 / final_div_factor; with `three_phase` back to the start first. Momentum (`betas[0]` where there
 * is one) goes the other way, max_momentum - base_momentum - max_momentum.
 *
 * The groups get torch's keys: initial_lr, max_lr, min_lr, max_momentum, base_momentum.
 *
 * As in torch, step `total_steps` is one beyond the end and already off the curve (a linear rate is
 * negative there); a further one is an error. Smith and Topin, arXiv 1708.07120.
 */
export const oneCycleLr: SchedulerRule = absoluteSchedule<Options>({
  ...spec,
  name: "OneCycleLR",
  at(k, initial, o) {
    if (k > steps(o)) {
      throw new ConfigError("scheduler", `OneCycleLR has ${steps(o)} steps, received step ${k}`);
    }
    return rate(k, initial, o);
  },
  momentum,
});

/** OneCycleLR that holds the rate and momentum of its last step, `total_steps` - 1. */
export const clampedOneCycleLr: SchedulerRule = absoluteSchedule<Options>({
  ...spec,
  name: "ClampedOneCycleLR",
  at: (k, initial, o) => rate(Math.min(k, steps(o) - 1), initial, o),
  momentum: (k, o) => momentum(Math.min(k, steps(o) - 1), o),
});
