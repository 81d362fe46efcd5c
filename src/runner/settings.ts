/** The numbers and switches of a run, after the config's defaults are filled in. */

import type { KeepPolicy } from "../checkpoint/checkpoint.ts";

/** What the loop is told; `config/` makes it from the plain object. */
export interface RunSettings {
  readonly name: string;
  readonly seed: number;
  /** Logical shards a batch is cut into. */
  readonly shards: number;
  readonly rescale: boolean;
  readonly train: {
    readonly iterations: number;
    /** Samples of one micro-batch; an iteration takes `batchSize * accumulate`. */
    readonly batchSize: number;
    readonly accumulate: number;
    readonly nonFinite: NonFinitePolicy;
    /** Seconds of training after which the run stops, resumable. */
    readonly maxTime: number;
    /** Whether the metrics are computed on training batches too. */
    readonly metrics: boolean;
  };
  readonly log: { readonly interval: number };
  readonly validation: EvaluationSettings & {
    readonly interval: number;
    /** Batches evaluated before the first iteration, to fail early. */
    readonly sanity: number;
  };
  readonly test: EvaluationSettings & {
    /** Infinity: only at the end. */
    readonly interval: number;
    readonly horizons: readonly number[];
    readonly savePredictions: boolean;
  };
  readonly best: { readonly monitor: string; readonly mode: "min" | "max" };
  /** The metrics of which more is better. */
  readonly higherIsBetter: readonly string[];
  /** Which checkpoints stay. */
  readonly keep: KeepPolicy;
  readonly resume: "auto" | "never" | "required" | "continue";
  /** What a run does whose files cannot be written. */
  readonly onError: "stop" | "continue";
  /** Paths of the config, and `contents` for the data, that a resumed run may have changed. */
  readonly allowChanged: readonly string[];
  readonly fineTune: { readonly path: string; readonly strict: boolean } | undefined;
}

/**
 * What a run does when loss or gradient is not finite: end; go on without this update; or go back to
 * the last checkpoint, at most so many times, and go on with the batches after the one it failed at.
 */
export type NonFinitePolicy = "stop" | "skip" | { readonly rollback: number };

/** How a split is evaluated. */
export interface EvaluationSettings {
  readonly batchSize: number;
  /** Only the first batches; Infinity for all. */
  readonly limitBatches: number;
}
