/** What schedulers made of schedulers share: their parts, step count, preview and state. */
import { ConfigError, show } from "../core/errors.ts";
import { join } from "../core/options.ts";
import { checkStep, type Origin, Replay } from "./replay.ts";
import { checkType, putRates, readScheduleState } from "./schedule.ts";
import type { SchedulerContext } from "./schedule.ts";
import type { Part, Schedulable, Scheduler } from "./scheduler.ts";

/** A scheduler of parts, each made for the same optimizer; composites nest. */
export abstract class Composite implements Part {
  protected readonly parts: readonly Part[];
  protected readonly optimizer: Schedulable;
  /** Steps taken; -1 while it waits. */
  protected k = 0;
  readonly #name: string;
  readonly #replay: Replay;

  /** `again` makes the same scheduler on another optimizer, for previews. */
  constructor(
    name: string,
    context: SchedulerContext,
    again: (context: SchedulerContext) => Scheduler,
  ) {
    const { optimizer } = context;
    this.#name = name;
    this.optimizer = optimizer;
    this.#replay = new Replay(optimizer, (copy) => again({ ...context, optimizer: copy }));
    this.parts = context.parts(optimizer);
    if (this.parts.length === 0) {
      throw new ConfigError(
        join(context.path, "schedulers"),
        "must be an array of at least one scheduler",
      );
    }
  }

  /** Moves the parts to step `k`. */
  protected abstract advance(k: number): void;
  abstract begin(): void;
  abstract restart(): void;

  step(): void {
    this.advance(this.k + 1);
    this.k += 1;
  }

  hold(): void {
    this.k = -1;
    for (const part of this.parts) part.hold();
  }

  getLastLr(): number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr);
  }

  lrAt(k: number): number[] {
    checkStep(k);
    return this.#replay.lrAt(k);
  }

  stateDict(): Record<string, unknown> {
    const origin: Origin = this.#replay.origin();
    return {
      type: this.#name,
      last_epoch: this.k,
      base_lrs: origin.map(({ lr }) => lr),
      last_lr: this.getLastLr(),
      origin,
      schedulers: this.parts.map((part) => part.stateDict()),
    };
  }

  loadStateDict(state: Record<string, unknown>): void {
    checkType(state, this.#name);
    const { schedulers } = state;
    if (!Array.isArray(schedulers) || schedulers.length !== this.parts.length) {
      throw new ConfigError(
        "scheduler state.schedulers",
        `must hold ${this.parts.length} states, received ${show(schedulers)}`,
      );
    }
    const groups = this.optimizer.paramGroups.length;
    const { k, lastLr, origin } = readScheduleState(state, this.#name, groups);
    this.parts.forEach((part, i) => part.loadStateDict(schedulers[i]));
    this.k = k;
    if (origin !== undefined) this.#replay.startFrom(origin);
    putRates(this.optimizer, lastLr);
  }
}
