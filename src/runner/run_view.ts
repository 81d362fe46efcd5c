/** What a callback sees of the run it belongs to. */
import type { Store } from "../checkpoint/store.ts";
import type { Model } from "../model/model.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Output } from "../report/console.ts";
import type { RunSettings } from "./settings.ts";
import type { FinishReason, RunState } from "./state.ts";
import type { Timing } from "./timing.ts";

/** The run: read anything, change it only through its methods. */
export interface RunView {
  readonly settings: RunSettings;
  readonly state: Readonly<RunState>;
  readonly model: Model;
  readonly optimizer: Optimizer;
  /** Where the run keeps its files. */
  readonly store: Store;
  readonly output: Output;
  readonly timing: Timing;
  /** The training loss of the last iteration (mean over its items). */
  readonly lastLoss: number;
  /** The global gradient norm of the last iteration, before clipping. */
  readonly lastGradNorm: number;
  /** Ends the run after this iteration. */
  stop(reason: FinishReason): void;
  /**
   * Writes a checkpoint of the state as it is now, or after the update that is being made; during an
   * evaluation with the weights of the training. Resolves when it is on the disk, or, unless it is to
   * `wait`, when the state is copied; requests that wait for the disk share one. Refused in the hooks
   * `setup`, `save` and `state`, and once an error has broken an iteration off.
   */
  saveCheckpoint(options?: { wait?: boolean }): Promise<void>;
  /** The checkpoint that a rollback goes back to; for an `iterationEnd` hook that awaits it, as `Checkpoint` does. */
  saveAtCadence(): Promise<void>;
  /** Runs what writes files; a fault ends the run or is told in a line, as `checkpoint.onError` says. */
  writing(work: () => Promise<unknown>): Promise<void>;
}
