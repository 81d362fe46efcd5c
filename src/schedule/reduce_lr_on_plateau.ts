/** Lowers the rate when a metric no longer improves, as torch's ReduceLROnPlateau. */
import { ConfigError, show } from "../core/errors.ts";
import { integer, number, object, oneOf, z } from "../core/options.ts";
import { groupOptions, perGroup } from "./options.ts";
import { checkStep } from "./replay.ts";
import { checkType, putRates, readRates, sameGroups } from "./schedule.ts";
import type { SchedulerContext, SchedulerRule } from "./schedule.ts";
import type { Schedulable, Scheduler } from "./scheduler.ts";

const FACTOR = "must be a number < 1";

const options = object({
  mode: oneOf(["min", "max"]).default("min"),
  factor: z.number({ error: FACTOR }).lt(1, { error: FACTOR }).default(0.1),
  patience: integer(0).default(10),
  threshold: number().default(1e-4),
  threshold_mode: oneOf(["rel", "abs"]).default("rel"),
  cooldown: integer(0).default(0),
  min_lr: perGroup(number(), "must be a finite number").default(0),
  eps: number().default(1e-8),
});
type Options = z.output<typeof options>;

/**
 * After `patience` steps whose metric is not better than the best by `threshold` (NaN never is), the
 * next one multiplies each rate by `factor`, down to `min_lr` and unless it changes by at most `eps`;
 * then `cooldown` steps are not counted.
 *
 *     better, rel: metric < best (1 - threshold) or > best (1 + threshold); abs: best -+ threshold
 *
 * As in torch, `rel` takes a worse negative metric for a better one; use `abs` there.
 */
export const reduceLrOnPlateau: SchedulerRule = {
  name: "ReduceLROnPlateau",
  options,
  monitored: true,
  create: (context) => new ReduceLrOnPlateau(context),
};

class ReduceLrOnPlateau implements Scheduler {
  readonly #optimizer: Schedulable;
  /** One a group; they differ in `min_lr` only. */
  readonly #options: Options[];
  #baseLrs: number[];
  #k = 0;
  #best: number;
  #bad = 0;
  #cooldown = 0;

  constructor({ options, optimizer, paramsPath }: SchedulerContext) {
    const groups = optimizer.paramGroups;
    this.#optimizer = optimizer;
    this.#options = groupOptions(options as Options, ["min_lr"], groups.length, paramsPath);
    this.#baseLrs = groups.map(({ lr }) => lr);
    this.#best = this.#options[0]?.mode === "max" ? -Infinity : Infinity;
  }

  step(metric?: number): void {
    if (typeof metric !== "number") {
      throw new ConfigError(
        "scheduler",
        `ReduceLROnPlateau.step needs a metric, received ${show(metric)}`,
      );
    }
    const groups = sameGroups(this.#optimizer, this.#baseLrs.length);
    const { patience, cooldown, eps } = this.#options[0];
    this.#k += 1;
    if (this.#isBetter(metric)) {
      this.#best = metric;
      this.#bad = 0;
    } else {
      this.#bad += 1;
    }
    if (this.#cooldown > 0) {
      this.#cooldown -= 1;
      this.#bad = 0;
    }
    if (this.#bad <= patience) return;
    groups.forEach((group, i) => {
      const { factor, min_lr } = this.#options[i];
      const lr = Math.max(group.lr * factor, min_lr);
      if (group.lr - lr > eps) group.lr = lr;
    });
    this.#cooldown = cooldown;
    this.#bad = 0;
  }

  getLastLr(): number[] {
    return this.#optimizer.paramGroups.map(({ lr }) => lr);
  }

  lrAt(k: number): number[] {
    checkStep(k);
    return [...this.#baseLrs];
  }

  stateDict(): Record<string, unknown> {
    return {
      type: reduceLrOnPlateau.name,
      last_epoch: this.#k,
      base_lrs: [...this.#baseLrs],
      last_lr: this.getLastLr(),
      // As text, since JSON has no infinities.
      best: Number.isFinite(this.#best) ? this.#best : String(this.#best),
      num_bad_epochs: this.#bad,
      cooldown_counter: this.#cooldown,
    };
  }

  loadStateDict(state: Record<string, unknown>): void {
    checkType(state, reduceLrOnPlateau.name);
    const [k, bad, cooldown] = ["last_epoch", "num_bad_epochs", "cooldown_counter"].map((key) => {
      const value = state[key];
      if (Number.isInteger(value) && (value as number) >= 0) return value as number;
      throw new ConfigError(
        `scheduler state.${key}`,
        `must be an integer >= 0, received ${show(value)}`,
      );
    });
    const best = Number(state.best);
    if (Number.isNaN(best)) {
      throw new ConfigError(
        "scheduler state.best",
        `must be a number, received ${show(state.best)}`,
      );
    }
    const groups = this.#baseLrs.length;
    this.#baseLrs = readRates(state.base_lrs, groups, "base_lrs");
    putRates(this.#optimizer, readRates(state.last_lr, groups, "last_lr"));
    [this.#k, this.#bad, this.#cooldown, this.#best] = [k, bad, cooldown, best];
  }

  #isBetter(metric: number): boolean {
    const { mode, threshold, threshold_mode: kind } = this.#options[0];
    const sign = mode === "min" ? -1 : 1;
    const bound = kind === "rel"
      ? this.#best * (1 + sign * threshold)
      : this.#best + sign * threshold;
    return mode === "min" ? metric < bound : metric > bound;
  }
}
