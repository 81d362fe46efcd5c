/** The scheduler contract. */

/** What a scheduler needs of an optimizer. */
export interface Schedulable {
  readonly paramGroups: ({ lr: number } & Record<string, unknown>)[];
}

/** A learning-rate schedule bound to an optimizer; one `step()` an optimizer update. */
export interface Scheduler {
  /** Advances by one update; `metric` is read by schedules that follow one (ReduceLROnPlateau). */
  step(metric?: number): void;
  /** The rates now in force, one a group. */
  getLastLr(): number[];
  /** The rates after `k` steps, without side effects, from the base rates. */
  lrAt(k: number): number[];
  /** Plain data: numbers, strings, arrays. */
  stateDict(): Record<string, unknown>;
  loadStateDict(state: Record<string, unknown>): void;
}
