/**
 * Schedules that are a rule from step to rate, and the engine that runs them on an optimizer.
 *
 * torch's semantics: making a scheduler notes each group's rate as its `initial_lr` (unless one is
 * noted) and sets the rates of step 0. A step then moves the current rate, so that schedulers can be
 * chained and a rate changed by hand is kept; `lrAt` uses the closed form where there is one, else
 * it replays the steps.
 */
import { ConfigError, show } from "../core/errors.ts";
import { join, type z } from "../core/options.ts";
import { readMomentum, writeMomentum } from "./momentum.ts";
import { groupOptions } from "./options.ts";
import { checkStep, type Origin, Replay } from "./replay.ts";
import type { Part, Schedulable, Scheduler } from "./scheduler.ts";

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
  /** Makes the scheduler and sets the rates of step 0. */
  create(context: SchedulerContext): Scheduler;
}

/** What a scheduler is made from. */
export interface SchedulerContext {
  /** Checked, with defaults. */
  readonly options: Record<string, unknown>;
  readonly optimizer: Schedulable;
  /** Where the component stands, for errors. */
  readonly path: string;
  /** Where its options stand, for errors. */
  readonly paramsPath: string;
  /** Makes the schedulers of a composite, in order. */
  parts(optimizer: Schedulable): Part[];
}

/** A schedule as its file writes it; `O` are its options, `defaultLr` is the optimizer's own rate. */
export interface ScheduleSpec<O extends Record<string, unknown>> {
  readonly name: string;
  readonly options: z.ZodObject & { readonly _zod: { readonly output: O } };
  /** Options that may be arrays of one value a group. */
  readonly perGroup?: readonly (keyof O & string)[];
  /** A fault that no single option shows: the option and its rule. */
  check?(options: O, defaultLr: number): [keyof O & string, string] | undefined;
  /** Changes a group before its initial rate is noted. */
  start?(group: Schedulable["paramGroups"][number], options: O): void;
  /** The base rate after step 0, where it is an option. */
  base?(options: O): number;
  /** The rate at step k from the rate before it (at k = 0: from the group's rate). */
  next(k: number, lr: number, base: number, options: O, defaultLr: number): number;
  /** The closed form: the rate at step k from the base rate. */
  at?(k: number, base: number, options: O, defaultLr: number): number;
  /** The rate at step 0 after another schedule. Default: the closed form, else `next`. */
  restart?(lr: number, base: number, options: O): number;
  /** The momentum at step k, undefined where it stays. */
  momentum?(k: number, options: O): number | undefined;
}

/** The rule of a schedule. */
export function schedule<O extends Record<string, unknown>>(spec: ScheduleSpec<O>): SchedulerRule {
  return {
    name: spec.name,
    options: spec.options,
    create: (context) => new Schedule(spec, context),
  };
}

/** The rule of a schedule that knows only step and base rate: it overwrites what others did to the rate. */
export function absoluteSchedule<O extends Record<string, unknown>>(
  spec: Omit<ScheduleSpec<O>, "next" | "restart"> & Required<Pick<ScheduleSpec<O>, "at">>,
): SchedulerRule {
  return schedule<O>({
    ...spec,
    next: (k, _lr, base, options, defaultLr) => spec.at(k, base, options, defaultLr),
  });
}

/** The rule of a schedule that is a factor of the base rate, as torch's LambdaLR. */
export function factorSchedule<O extends Record<string, unknown>>(
  spec: Omit<ScheduleSpec<O>, "next" | "at" | "restart"> & {
    factor(k: number, options: O, defaultLr: number): number;
  },
): SchedulerRule {
  return absoluteSchedule<O>({
    ...spec,
    at: (k, base, options, defaultLr) => base * spec.factor(k, options, defaultLr),
  });
}

class Schedule<O extends Record<string, unknown>> implements Part {
  readonly #spec: ScheduleSpec<O>;
  readonly #optimizer: Schedulable;
  /** One a group. */
  readonly #options: O[];
  readonly #replay: Replay;
  #baseLrs: number[];
  #k = -1;

  constructor(spec: ScheduleSpec<O>, context: SchedulerContext) {
    const { optimizer, paramsPath } = context;
    const groups = optimizer.paramGroups;
    this.#spec = spec;
    this.#optimizer = optimizer;
    this.#options = groupOptions(
      context.options as O,
      spec.perGroup ?? [],
      groups.length,
      paramsPath,
    );
    this.#check(groups, paramsPath);
    this.#replay = new Replay(
      optimizer,
      (copy) => new Schedule(spec, { ...context, optimizer: copy }),
    );
    groups.forEach((group, i) => spec.start?.(group, this.#options[i]));
    this.#baseLrs = noteInitialRates(optimizer);
    this.step();
    if (spec.base !== undefined) this.#baseLrs = this.#options.map(spec.base);
  }

  step(): void {
    this.#advance(this.#k + 1, this.#spec.next);
  }

  begin(): void {
    this.#advance(0, this.#spec.next);
  }

  restart(): void {
    const { at, restart, next } = this.#spec;
    this.#advance(
      0,
      restart !== undefined
        ? (_k, lr, base, options) => restart(lr, base, options)
        : at !== undefined
        ? (k, _lr, base, options, defaultLr) => at(k, base, options, defaultLr)
        : next,
    );
  }

  hold(): void {
    this.#k = -1;
  }

  getLastLr(): number[] {
    return this.#optimizer.paramGroups.map(({ lr }) => lr);
  }

  lrAt(k: number): number[] {
    checkStep(k);
    const { at } = this.#spec;
    if (at === undefined) return this.#replay.lrAt(k);
    const defaultLr = defaultRate(this.#optimizer);
    return this.#baseLrs.map((base, i) => at(k, base, this.#options[i], defaultLr));
  }

  stateDict(): Record<string, unknown> {
    const momenta = this.#optimizer.paramGroups.map(readMomentum);
    return {
      type: this.#spec.name,
      last_epoch: this.#k,
      base_lrs: [...this.#baseLrs],
      last_lr: this.getLastLr(),
      ...(this.#spec.momentum === undefined ? {} : { last_momentum: momenta }),
      origin: this.#replay.origin(),
    };
  }

  loadStateDict(state: Record<string, unknown>): void {
    const saved = readScheduleState(state, this.#spec.name, this.#baseLrs.length);
    this.#k = saved.k;
    this.#baseLrs = saved.baseLrs;
    if (saved.origin !== undefined) this.#replay.startFrom(saved.origin);
    putRates(this.#optimizer, saved.lastLr);
    if (!Array.isArray(state.last_momentum)) return;
    for (const [i, group] of this.#optimizer.paramGroups.entries()) {
      const momentum: unknown = state.last_momentum[i];
      if (typeof momentum === "number") writeMomentum(group, momentum);
    }
  }

  /** Sets the rates of step k; nothing has changed if a rule throws. */
  #advance(k: number, rule: ScheduleSpec<O>["next"]): void {
    const groups = sameGroups(this.#optimizer, this.#baseLrs.length);
    const defaultLr = defaultRate(this.#optimizer);
    const rates = groups.map(({ lr }, i) =>
      rule(k, lr, this.#baseLrs[i], this.#options[i], defaultLr)
    );
    const momenta = this.#options.map((options) => this.#spec.momentum?.(k, options));
    this.#k = k;
    groups.forEach((group, i) => {
      group.lr = rates[i];
      const momentum = momenta[i];
      if (momentum !== undefined) writeMomentum(group, momentum);
    });
  }

  #check(groups: Schedulable["paramGroups"], path: string): void {
    const { check, momentum, name } = this.#spec;
    const defaultLr = defaultRate(this.#optimizer);
    for (const [i, options] of this.#options.entries()) {
      const fault = check?.(options, defaultLr);
      if (fault !== undefined) throw new ConfigError(join(path, fault[0]), fault[1]);
      if (momentum?.(0, options) !== undefined && readMomentum(groups[i]) === undefined) {
        throw new ConfigError(
          join(path, "cycle_momentum"),
          `must be false for ${name} where a group has neither momentum nor betas: group ${i}`,
        );
      }
    }
  }
}

/** The optimizer's own rate, or the largest initial rate of the groups. */
function defaultRate({ defaults, paramGroups }: Schedulable): number {
  return defaults?.lr ??
    Math.max(...paramGroups.map((group) => (group.initial_lr ?? group.lr) as number));
}

/** Notes each group's rate as `initial_lr` unless one is noted, and returns them. */
function noteInitialRates(optimizer: Schedulable): number[] {
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

/** Puts saved rates into force. */
export function putRates(optimizer: Schedulable, rates: readonly number[] | undefined): void {
  if (rates === undefined) return;
  sameGroups(optimizer, rates.length).forEach((group, i) => group.lr = rates[i]);
}

/** Checks the plain state of a schedule; -1 steps: it waits in a composite. */
export function readScheduleState(
  state: Record<string, unknown>,
  name: string,
  groups: number,
): { k: number; baseLrs: number[]; lastLr?: number[]; origin?: Origin } {
  checkType(state, name);
  const { last_epoch: k, base_lrs: rates, last_lr: last, origin } = state;
  if (!Number.isInteger(k) || (k as number) < -1) {
    throw new ConfigError(
      "scheduler state.last_epoch",
      `must be an integer >= -1, received ${show(k)}`,
    );
  }
  if (origin !== undefined && (!Array.isArray(origin) || origin.length !== groups)) {
    throw new ConfigError(
      "scheduler state.origin",
      `must hold ${groups} groups, received ${show(origin)}`,
    );
  }
  return {
    k: k as number,
    baseLrs: readRates(rates, groups, "base_lrs"),
    ...(last === undefined ? {} : { lastLr: readRates(last, groups, "last_lr") }),
    ...(origin === undefined ? {} : { origin: origin as Origin }),
  };
}

/** Refuses what is no state, and the state of another type. */
export function checkType(state: Record<string, unknown>, name: string): void {
  if (state === null || typeof state !== "object") {
    throw new ConfigError("scheduler state", `must be an object, received ${show(state)}`);
  }
  const { type } = state;
  if (type !== undefined && type !== name) {
    throw new ConfigError("scheduler state", `must be of ${name}, received ${show(type)}`);
  }
}

/** One finite number a group, as a new array. */
export function readRates(rates: unknown, groups: number, key: string): number[] {
  const isRates = Array.isArray(rates) && rates.every((rate) => Number.isFinite(rate));
  if (!isRates || rates.length !== groups) {
    throw new ConfigError(
      `scheduler state.${key}`,
      `must hold ${groups} numbers, received ${show(rates)}`,
    );
  }
  return [...rates];
}
