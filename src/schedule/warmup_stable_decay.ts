/** Hugging Face's `warmup_stable_decay`: up, constant, down. */
import { cos } from "../core/math.ts";
import { atLeast, integer, number, object, oneOf, type z } from "../core/options.ts";
import { total } from "./options.ts";
import { factorSchedule, type SchedulerRule } from "./schedule.ts";

const shapes = oneOf(["linear", "cosine", "1-sqrt"]);

const options = object({
  num_warmup_steps: integer(0),
  num_decay_steps: integer(0),
  num_training_steps: total(integer(0), "must be an integer >= 0").nullish(),
  num_stable_steps: integer(0).nullish(),
  warmup_type: shapes.default("linear"),
  decay_type: shapes.default("cosine"),
  min_lr_ratio: atLeast(0).default(0),
  num_cycles: number().default(0.5),
});
type Options = z.output<typeof options>;

/** 0 -> 1 for p in [0, 1). */
function rise(p: number, { warmup_type: type }: Options): number {
  if (type === "linear") return p;
  return type === "cosine" ? 0.5 * (1 - cos(Math.PI * p)) : 1 - Math.sqrt(1 - p);
}

/** 1 -> 0 for p in [0, 1). */
function fall(p: number, { decay_type: type, num_cycles: cycles }: Options): number {
  if (type === "linear") return 1 - p;
  return type === "cosine" ? 0.5 * (1 + cos(Math.PI * cycles * 2 * p)) : 1 - Math.sqrt(p);
}

/**
 * With W steps of warm-up, S stable and D of decay, m = min_lr_ratio:
 *
 *     k < W           base (m + (1 - m) rise(k / W))
 *     k < W + S       base
 *     k < W + S + D   base (m + (1 - m) fall((k - W - S) / D))
 *     later           base m
 *
 * S is num_stable_steps, or num_training_steps - W - D.
 */
export const warmupStableDecay: SchedulerRule = factorSchedule<Options>({
  name: "warmup_stable_decay",
  options,
  check(o) {
    if (o.num_training_steps == null && o.num_stable_steps == null) {
      return ["num_training_steps", "or num_stable_steps must be given"];
    }
    const ramps = o.num_warmup_steps + o.num_decay_steps;
    if (o.num_stable_steps != null || o.num_training_steps! >= ramps) return;
    return [
      "num_training_steps",
      `must be at least num_warmup_steps + num_decay_steps (${ramps}), received ${o.num_training_steps}`,
    ];
  },
  factor(k, o) {
    const { num_warmup_steps: up, num_decay_steps: down, min_lr_ratio: least } = o;
    const start = up + (o.num_stable_steps ?? o.num_training_steps! - up - down);
    const scaled = (factor: number) => Math.max(0, factor * (1 - least) + least);
    if (k < up) return scaled(rise(k / up, o));
    if (k < start) return 1;
    return k < start + down ? scaled(fall((k - start) / down, o)) : least;
  },
});
