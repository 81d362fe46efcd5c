/** Previews by running a schedule on a copy of the groups as they were before it was made. */
import { ConfigError, show } from "../core/errors.ts";
import type { Schedulable, Scheduler } from "./scheduler.ts";

/** The rates and initial rates a schedule started from. */
export type Origin = { lr: number; initial_lr?: number }[];

/** A preview that steps forward only: asking in rising order costs one step each. */
export class Replay {
  readonly #make: (optimizer: Schedulable) => Scheduler;
  readonly #defaults: Schedulable["defaults"];
  #groups: Schedulable["paramGroups"];
  #run: { k: number; scheduler: Scheduler } | undefined;

  /** `make` is called with copies of the groups that `optimizer` has now. */
  constructor(optimizer: Schedulable, make: (optimizer: Schedulable) => Scheduler) {
    this.#make = make;
    this.#defaults = optimizer.defaults;
    this.#groups = optimizer.paramGroups.map((group) => ({ ...group }));
  }

  /** The rates after `k` steps. */
  lrAt(k: number): number[] {
    if (this.#run === undefined || this.#run.k > k) {
      const paramGroups = this.#groups.map((group) => ({ ...group }));
      this.#run = { k: 0, scheduler: this.#make({ paramGroups, defaults: this.#defaults }) };
    }
    for (; this.#run.k < k; this.#run.k++) this.#run.scheduler.step();
    return this.#run.scheduler.getLastLr();
  }

  /** Where it starts, as plain data. */
  origin(): Origin {
    return this.#groups.map(({ lr, initial_lr: initial }) =>
      initial === undefined ? { lr } : { lr, initial_lr: initial as number }
    );
  }

  /** Starts from a saved origin. */
  startFrom(origin: Origin): void {
    this.#groups = this.#groups.map(({ initial_lr: _, ...group }, i) => ({
      ...group,
      ...origin[i],
    }));
    this.#run = undefined;
  }
}

/** Refuses what is no number of steps. */
export function checkStep(k: number): void {
  if (!Number.isInteger(k) || k < 0) {
    throw new ConfigError("lrAt", `must get an integer >= 0, received ${show(k)}`);
  }
}
