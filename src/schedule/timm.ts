/**
 * What timm's schedules share: warm-up, cycles, and noise drawn as a function of seed and step.
 *
 * Rates are absolute functions of step and base rate. Noise comes from this library's random
 * numbers, so its values differ from timm's; all groups get the same.
 */
import { above, atLeast, either, flag, integer, object, oneOf, z } from "../core/options.ts";
import { randomStream } from "../core/random.ts";
import { perGroup, total } from "./options.ts";
import { absoluteSchedule, type SchedulerRule } from "./schedule.ts";

const NOISE_RANGE = "must be an integer >= 0 or an array of two, from and until";

/** Options of every timm schedule. */
export const timmOptions = {
  warmup_t: integer(0).default(0),
  warmup_lr_init: perGroup(atLeast(0), "must be a number >= 0").default(0),
  warmup_prefix: flag().default(false),
  noise_range_t: either(
    NOISE_RANGE,
    integer(0),
    z.tuple([integer(0), integer(0)], { error: NOISE_RANGE }),
  ).nullish(),
  noise_type: oneOf(["normal", "uniform"]).default("normal"),
  noise_pct: above(0).default(0.67),
  noise_std: above(0).default(1),
  noise_seed: integer(0).default(42),
};

/** Options of the schedules in cycles. */
export const cycleOptions = {
  ...timmOptions,
  t_initial: total(),
  lr_min: perGroup(atLeast(0), "must be a number >= 0").default(0),
  cycle_mul: above(0).default(1),
  cycle_decay: atLeast(0).default(1),
  cycle_limit: integer(0).default(1),
};

const shared = object(timmOptions);
const cycles = object(cycleOptions);
/** Parsed {@link timmOptions}. */
export type TimmOptions = z.output<typeof shared>;
/** Parsed {@link cycleOptions}. */
export type CycleOptions = z.output<typeof cycles>;

/** A timm schedule as its file writes it. */
export interface TimmSpec<O extends TimmOptions> {
  readonly name: string;
  readonly options: z.ZodObject & { readonly _zod: { readonly output: O } };
  readonly perGroup: readonly (keyof O & string)[];
  /** The rate at step t after the warm-up. */
  curve(t: number, base: number, options: O): number;
  /** Where the warm-up leads when it is no prefix. Default: the base rate. */
  warmupEnd?(base: number, options: O): number;
}

/**
 * For t < warmup_t a line from warmup_lr_init, then the curve at t, or with `warmup_prefix` at
 * t - warmup_t; without it the rate jumps where they meet.
 *
 * From noise_range_t on (and before its second number) the rate is times 1 + n: n normal with
 * noise_std and drawn again until |n| < noise_pct, or uniform in +-noise_pct.
 */
export function timmSchedule<O extends TimmOptions>(spec: TimmSpec<O>): SchedulerRule {
  return absoluteSchedule<O>({
    ...spec,
    at: (t, base, options) => plain(t, base, options, spec) * (1 + noise(t, options)),
  });
}

/** The rate without noise. */
function plain<O extends TimmOptions>(t: number, base: number, o: O, spec: TimmSpec<O>): number {
  const { warmup_t: warmup, warmup_lr_init: first, warmup_prefix: prefix } = o;
  if (t >= warmup) return spec.curve(prefix ? t - warmup : t, base, o);
  const end = prefix ? base : spec.warmupEnd?.(base, o) ?? base;
  return first + t * ((end - first) / warmup);
}

function noise(t: number, o: TimmOptions): number {
  if (o.noise_range_t == null) return 0;
  const [from, until] = Array.isArray(o.noise_range_t)
    ? o.noise_range_t
    : [o.noise_range_t, Infinity];
  if (t < from || t >= until) return 0;
  const random = randomStream(o.noise_seed, "learning-rate noise", t);
  const draw = new Float64Array(1);
  if (o.noise_type === "uniform") return random.uniform(draw, -o.noise_pct, o.noise_pct)[0];
  do random.normal(draw, 0, o.noise_std); while (Math.abs(draw[0]) >= o.noise_pct);
  return draw[0];
}

/**
 * The cycle of step t: its step and length, and the peak, base cycle_decay^cycle. Cycle i has
 * t_initial cycle_mul^i steps. Undefined after cycle_limit cycles, where the rate is lr_min.
 */
export function cycleAt(
  t: number,
  base: number,
  { t_initial, cycle_mul: mul, cycle_decay: decay, cycle_limit: limit }: CycleOptions,
): { t: number; length: number; peak: number } | undefined {
  let peak = base;
  let length = t_initial;
  // A length of 0 is the sum of ever shorter cycles (cycle_mul < 1) passed.
  for (let cycle = 0; cycle < limit && length > 0; cycle++) {
    if (t < length) return { t, length, peak };
    t -= length;
    length *= mul;
    peak *= decay;
  }
  return undefined;
}
