/** The scheduler contract. */

/** What a scheduler needs of an optimizer. */
export interface Schedulable {
  readonly paramGroups: ({ lr: number } & Record<string, unknown>)[];
  /**
   * The options that it was built with, before any group changed them. Hugging Face's schedules with
   * an end in absolute terms divide it by this rate; without it, by the largest of the groups.
   */
  readonly defaults?: Readonly<{ lr: number } & Record<string, unknown>>;
}

/** A learning-rate schedule bound to an optimizer; one `step()` an optimizer update. */
export interface Scheduler {
  /** Advances by one update; `metric` is read by schedules that follow one (ReduceLROnPlateau). */
  step(metric?: number): void;
  /** The rates now in force, one a group. */
  getLastLr(): number[];
  /**
   * The rates after `k` steps, without side effects, as if nobody had edited one by hand. A schedule
   * that follows a metric answers what holds while the metric keeps improving.
   */
  lrAt(k: number): number[];
  /** Plain data: numbers, strings, arrays. */
  stateDict(): Record<string, unknown>;
  /** Goes on from a saved state; the rates of then are put into the groups. */
  loadStateDict(state: Record<string, unknown>): void;
}

/** A scheduler that a composite can hold back and start. */
export interface Part extends Scheduler {
  /** Step 0 as when it was made: most types start from the rate in force. */
  begin(): void;
  /** Step 0 in the middle of a run: types with a closed form start from the base rate. */
  restart(): void;
  /** Forgets its steps and waits. */
  hold(): void;
}

/** Whether a composite can hold it. */
export function isPart(scheduler: Scheduler): scheduler is Part {
  return ["begin", "restart", "hold"].every((method) => method in scheduler);
}
