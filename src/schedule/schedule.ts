/**
 * Schedules that are a rule from step to rate, and the engine that runs them on an optimizer.
 *
 * torch's semantics: making a scheduler notes each group's rate as its `initial_lr` (unless one is
 * noted) and sets the rates of step 0. A step then moves the current rate, so that schedulers can be
 * chained and a rate changed by hand is kept; `lrAt` uses the closed form instead.
 */
import { ConfigError, show } from "../core/errors.ts";
import type { z } from "../core/options.ts";
import type { Schedulable, Scheduler } from "./scheduler.ts";

/** One scheduler type. */
export interface SchedulerRule {
  /** The canonical name. */
  readonly name: string;
  /** Options in torch's spelling. */
  readonly options: z.ZodObject;
  /** Whether it is made of other schedulers (`schedulers` in the config). */
  readonly composite?: boolean;
  /** Whether `step` needs a metric (`monitor` in the config). */
  readonly monitored?: boolean;
  /** Makes the scheduler; `parts` are the schedulers of a composite, made for the same optimizer. */
  create(
    options: Record<string, unknown>,
    optimizer: Schedulable,
    parts: readonly Scheduler[],
  ): Scheduler;
}

/** A schedule as its file writes it; `O` are its options. */
export interface ScheduleSpec<O extends Record<string, unknown>> {
  readonly name: string;
  readonly options: z.ZodObject & { readonly _zod: { readonly output: O } };
  /** The rate at step k from the rate before it (at k = 0: from the group's rate). */
  next(k: number, lr: number, base: number, options: O, group: number): number;
  /** The rate at step k from the base rate. Default: `next`, k + 1 times from the base rate. */
  at?(k: number, base: number, options: O, group: number): number;
}

/** The rule of a schedule. */
export function schedule<O extends Record<string, unknown>>(spec: ScheduleSpec<O>): SchedulerRule {
  return {
    name: spec.name,
    options: spec.options,
    create: (options, optimizer) => new Schedule(spec, options as O, optimizer),
  };
}

/** The rule of a schedule that is a factor of the base rate, as torch's LambdaLR. */
export function factorSchedule<O extends Record<string, unknown>>(
  spec: Pick<ScheduleSpec<O>, "name" | "options"> & { factor(k: number, options: O): number },
): SchedulerRule {
  return schedule<O>({
    name: spec.name,
    options: spec.options,
    next: (k, _lr, base, options) => base * spec.factor(k, options),
    at: (k, base, options) => base * spec.factor(k, options),
  });
}

class Schedule<O extends Record<string, unknown>> implements Scheduler {
  readonly #spec: ScheduleSpec<O>;
  readonly #options: O;
  readonly #optimizer: Schedulable;
  #baseLrs: number[];
  #k = -1;

  constructor(spec: ScheduleSpec<O>, options: O, optimizer: Schedulable) {
    this.#spec = spec;
    this.#options = options;
    this.#optimizer = optimizer;
    this.#baseLrs = noteInitialRates(optimizer);
    this.step();
  }

  step(): void {
    const groups = sameGroups(this.#optimizer, this.#baseLrs.length);
    this.#k += 1;
    const { next } = this.#spec;
    const rates = groups.map(({ lr }, i) => next(this.#k, lr, this.#baseLrs[i], this.#options, i));
    groups.forEach((group, i) => group.lr = rates[i]);
  }

  getLastLr(): number[] {
    return this.#optimizer.paramGroups.map(({ lr }) => lr);
  }

  lrAt(k: number): number[] {
    const { next, at } = this.#spec;
    return this.#baseLrs.map((base, i) => {
      if (at !== undefined) return at(k, base, this.#options, i);
      let lr = base;
      for (let j = 0; j <= k; j++) lr = next(j, lr, base, this.#options, i);
      return lr;
    });
  }

  stateDict(): Record<string, unknown> {
    return { type: this.#spec.name, last_epoch: this.#k, base_lrs: [...this.#baseLrs] };
  }

  loadStateDict(state: Record<string, unknown>): void {
    const saved = readScheduleState(state, this.#spec.name, this.#baseLrs.length);
    this.#k = saved.k;
    this.#baseLrs = saved.baseLrs;
  }
}

/** Notes each group's rate as `initial_lr` unless one is noted, and returns them. */
export function noteInitialRates(optimizer: Schedulable): number[] {
  return optimizer.paramGroups.map((group) => {
    group.initial_lr ??= group.lr;
    return group.initial_lr as number;
  });
}

/** The groups, if there are as many as when the scheduler was made. */
export function sameGroups(
  optimizer: Schedulable,
  expected: number,
): Schedulable["paramGroups"] {
  const groups = optimizer.paramGroups;
  if (groups.length !== expected) {
    throw new ConfigError(
      "scheduler",
      `was made for ${expected} parameter groups, received ${groups.length}; ` +
        "give buildOptimizer its parameters before making the scheduler",
    );
  }
  return groups;
}

/** Checks the plain state of a schedule. */
export function readScheduleState(
  state: Record<string, unknown>,
  name: string,
  groups: number,
): { k: number; baseLrs: number[] } {
  const { type, last_epoch: k, base_lrs: rates } = state;
  if (type !== undefined && type !== name) {
    throw new ConfigError("scheduler state", `must be of ${name}, received ${show(type)}`);
  }
  if (!Number.isInteger(k) || (k as number) < 0) {
    throw new ConfigError(
      "scheduler state.last_epoch",
      `must be an integer >= 0, received ${show(k)}`,
    );
  }
  const isRates = Array.isArray(rates) && rates.every((rate) => Number.isFinite(rate));
  if (!isRates || rates.length !== groups) {
    throw new ConfigError(
      "scheduler state.base_lrs",
      `must hold ${groups} numbers, received ${show(rates)}`,
    );
  }
  return { k: k as number, baseLrs: [...rates] };
}
