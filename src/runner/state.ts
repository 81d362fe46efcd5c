/** What a run knows of itself beside its tensors: plain numbers, saved in every checkpoint. */
import type { Phase, Values } from "./record.ts";

/** Why a run ended. */
export type FinishReason = "iterations" | "early-stopping" | "max-time" | "signal";

/** The best validation so far. */
export interface Best {
  iteration: number;
  metric: string;
  value: number;
}

/** An event that some callbacks have heard. */
export interface Untold {
  event: "updateEnd" | "validationEnd" | "testEnd" | "iterationEnd";
  /** What comes with it. */
  values?: Values;
  /** The names of those that have not. */
  callbacks: string[];
}

/** Counters of a run. */
export interface RunState {
  /** Iterations done: the number of the last one, 1-based. */
  iteration: number;
  /** Iterations without an update because the loss or gradient was not finite. */
  skipped: number;
  best: Best | undefined;
  /** Set when the run has ended; a signal or the time limit leave it open. */
  finished: FinishReason | undefined;
  /**
   * What follows the update of this iteration and is not yet done, a record, an evaluation or its end: a
   * resumed run begins with it.
   */
  pending?: Phase | "end";
  /** An event of this iteration that callbacks have yet to hear, before what is pending. */
  untold?: Untold;
  /** The training loss of the last update, and its gradient norm. */
  lastLoss?: number;
  lastGradNorm?: number;
  /**
   * The iteration that a rollback goes back to: that of the last checkpoint at its cadence, whatever
   * a signal has written since.
   */
  anchor?: number;
  /** How often the run went back to a checkpoint because something was not finite. */
  rollbacks?: number;
  /** Batches that were passed over by this: iteration i trains on batch i + passed. */
  passed?: number;
  /** The message of the error that ended the run right after this iteration. */
  exception?: string;
}

/** A new run. */
export function initialState(): RunState {
  return { iteration: 0, skipped: 0, best: undefined, finished: undefined };
}

/** Makes `state` the saved one. */
export function restoreState(state: RunState, saved: RunState): void {
  for (const key of Object.keys(state)) delete state[key as keyof RunState];
  Object.assign(state, initialState(), saved);
}

/** What `train()` answers and `summary.json` holds. */
export interface Summary {
  finished: FinishReason;
  iterations: number;
  skipped: number;
  backend: string;
  workers: number;
  shards: number;
  /** Wall time of the call that trained last. */
  seconds: number;
  /** Training samples over time inside iterations, without the first five. */
  samplesPerSecond: number;
  best: Best | undefined;
  test: Record<string, number> | undefined;
  naive?: Record<string, Record<string, number>>;
  /** SHA-256 of the final parameters and buffers, code-unit name order, float32 little-endian. */
  weightsSha256: string;
}
