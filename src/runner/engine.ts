/** What computes for a run: this process (`local_engine.ts`), or workers (`src/parallel`). */
import type { HostTensor } from "../checkpoint/safetensors.ts";
import type { RandomStream } from "../core/random.ts";
import type { Allocate, HostBatch } from "../data/dataset.ts";
import type { OptimizerState } from "../optim/optimizer.ts";
import type { PassGradient } from "./gradients.ts";
import type { GradientValue } from "./hooks.ts";
import type { Bounds } from "./leaves.ts";

/**
 * Where a run's gradients, updates and evaluations are computed. The run itself, its callbacks and its
 * files are of this process, and so are a model and an optimizer, which an engine that trains copies
 * elsewhere keeps up to date.
 *
 * A `WorkerError` says that it can compute no more. Where it comes from {@link Engine.gradient}, or
 * from `apply` of what that gave, the state is that of the iteration before.
 */
export interface Engine {
  /** 1: in this process. */
  readonly workers: number;
  /** Called when workers that were lost are replaced. */
  onRestart?: () => void;
  gradient(task: GradientTask): Promise<IterationGradient>;
  /** What {@link gradient} will be asked for next if nothing comes between; it may be begun at once. */
  foresee?(task: GradientTask): void;
  /** Where the batch of the iteration after the one under way is best put, for a load at once. */
  allocator?(iteration: number): Allocate | undefined;
  /** Evaluates batches of a part with the weights that the model of this process holds now. */
  evaluation(split: Split): Promise<EvaluationLanes>;
  /** Brings the model of this process to the state of the training, once after each update. */
  pull(): void;
  /** Model and optimizer of this process may have been set: what computes elsewhere takes them over. */
  push(): void;
  /** A copy of the optimizer's state, made before anything is awaited. */
  optimizerState(): Promise<CopiedOptimizerState>;
  /** A call of the run is over: nothing that computes elsewhere stays alive for the next one. */
  rest(): Promise<void>;
  dispose(): void;
}

/** The parts of the data that are evaluated. */
export type Split = "validation" | "test";

/** What a gradient is taken of. */
export interface GradientTask {
  readonly batch: HostBatch;
  readonly bounds: Bounds;
  readonly iteration: number;
  readonly random: RandomStream;
  /** Nobody looks at the gradient before the update, which may follow it at once. */
  readonly untouched: boolean;
}

/** A gradient and the update that can be made with it. */
export interface IterationGradient extends PassGradient {
  /** The update has been made already, if loss and gradient are finite. */
  readonly isApplied?: boolean;
  /** The update, with what the callbacks have made of `grads`: those themselves if they are as they were. */
  apply(value: Pick<GradientValue, "grads" | "scale">): void | Promise<void>;
  /** Milliseconds spent on each phase, where it was computed elsewhere. */
  takeTimes?(): Record<string, number>;
}

/** An evaluation under way. */
export interface EvaluationLanes {
  /** Batches that may be under way at once. */
  readonly width: number;
  /** Where the batch that {@link run} is called with next is best put. */
  allocator?(): Allocate;
  /**
   * Evaluates a batch whose first sample has number `position`: [loss sum, loss count, then for each
   * row the sums of all metrics].
   */
  run(batch: HostBatch, position: number): Promise<ArrayLike<number>>;
}

/** An optimizer's state on the host. */
export interface CopiedOptimizerState {
  readonly tensors: Record<string, HostTensor>;
  readonly meta: OptimizerState["meta"];
}
