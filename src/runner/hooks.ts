/**
 * When a callback is called. A hook that changes a value returns it; the others return nothing.
 *
 * | hook            | when                                                        | stop | error | resume   |
 * |-----------------|-------------------------------------------------------------|------|-------|----------|
 * | setup           | once, at the first `train()`, before anything is loaded     |      |       | yes      |
 * | load            | a checkpoint that holds state of this callback is restored  |      |       | yes      |
 * | trainStart      | before the first iteration, after a resume or a rollback    |      |       | yes      |
 * | iterationStart  | before the batch is loaded                                  |      |       |          |
 * | batch           | batch on the host -> batch                                  |      |       |          |
 * | output          | prediction, target, mask -> the same, in the tape           |      |       |          |
 * | loss            | sum and count -> sum and count, in the tape                 |      |       |          |
 * | gradients       | summed gradients, scale, norm -> gradients, scale           |      |       |          |
 * | deviceGradients | the same before scale and norm are read, where a read waits |      |       |          |
 * | updateEnd       | after the optimizer's and the scheduler's step              |      |       |          |
 * | values          | a record's values -> values, before it is written           |      |       |          |
 * | log             | a record of values is written                               |      |       |          |
 * | evaluationStart | before validation or test, unless it takes the best weights |      |       |          |
 * | evaluationEnd   | after it, also when it threw: raw weights come back         |      | yes   |          |
 * | validationEnd   | after the best value was updated                            |      |       |          |
 * | testEnd         | after a test, with its values                               |      |       | finished |
 * | iterationEnd    | last in an iteration: checkpoints are written here          | yes  |       |          |
 * | state           | a checkpoint is being made: what it keeps for the callback  | yes  |       |          |
 * | save            | beside training, before its file: flush what it refers to   | yes  |       |          |
 * | trainEnd        | after the last iteration and its checkpoint                 | yes  |       |          |
 * | finish          | after the final test, with the summary                      | yes  |       | finished |
 * | exception       | an error leaves `train()`                                   |      | yes   |          |
 * | dispose         | the run is disposed                                         | yes  | yes   | yes      |
 *
 * stop: also after a callback, a signal or the time limit has asked the run to stop. error: also on
 * the way out with an error. resume: when `train()` finds a checkpoint; `finished`, when that is of a
 * finished run, which is tested again and has no other hooks but `setup` and `load`: nothing is
 * recorded. `output` and `loss` are called for every leaf of an
 * iteration (micro-batch times shard). A skipped iteration has no `gradients` and no `updateEnd`;
 * `deviceGradients` comes before it is known.
 */
import type { HostBatch } from "../data/dataset.ts";
import type { LossResult } from "../loss/loss.ts";
import type * as tf from "../tensor/tf.ts";
import type { RunView } from "./run_view.ts";
import type { FinishReason, Summary } from "./state.ts";

/** Values under their names, as they are logged: `loss`, `mse`, `lr`, ... */
export type Values = Readonly<Record<string, number>>;

/** The phases of a log record. */
export type Phase = "train" | "val" | "test";

/** What `output` sees and may replace. */
export interface OutputValue {
  prediction: tf.Tensor;
  target: tf.Tensor;
  mask?: tf.Tensor;
}

/** What `gradients` sees and may replace: the update uses `grads * scale`. */
export interface GradientValue<Scale = number, Norm = number> {
  /** By parameter name; summed over items. */
  grads: Record<string, tf.Tensor>;
  /** 1 / item count, times what callbacks before have multiplied in. */
  scale: Scale;
  /** Global L2 norm of `grads * scale`; undefined once a callback has replaced `grads`. */
  readonly norm: Norm | undefined;
}

/** What `deviceGradients` sees and may replace. */
export type DeviceGradientValue = GradientValue<number | tf.Scalar, tf.Scalar>;

/** A piece of plain data a checkpoint keeps for a callback. */
export interface CallbackState {
  tensors?: Record<string, tf.Tensor>;
  meta?: Record<string, unknown>;
}

/** The inside of an iteration, where no awaiting is possible. */
export interface TapeContext {
  readonly iteration: number;
  /** All named outputs of the forward pass. */
  readonly output: Record<string, tf.Tensor>;
}

type Done = void | Promise<void>;

/** A callback: any of the hooks, and state that checkpoints keep under its `name`. */
export interface Callback {
  /** Unique in a run; the key of its state. */
  readonly name: string;
  setup?(run: RunView): Done;
  trainStart?(run: RunView): Done;
  iterationStart?(run: RunView): Done;
  batch?(batch: HostBatch, run: RunView): HostBatch;
  output?(value: OutputValue, context: TapeContext): OutputValue;
  loss?(value: LossResult, context: TapeContext): LossResult;
  gradients?(value: GradientValue, run: RunView): GradientValue;
  /**
   * The same as `gradients`, with scale and norm on the device; runs in a tidy. On WebGPU it takes
   * the place of `gradients` if every callback that has one has the other; one that has this alone is
   * refused.
   */
  deviceGradients?(value: DeviceGradientValue, run: RunView): DeviceGradientValue;
  updateEnd?(run: RunView): Done;
  values?(phase: Phase, values: Values, run: RunView): Values;
  log?(phase: Phase, iteration: number, values: Values, run: RunView): Done;
  evaluationStart?(run: RunView): Done;
  evaluationEnd?(run: RunView): Done;
  validationEnd?(values: Values, run: RunView): Done;
  testEnd?(values: Values, run: RunView): Done;
  iterationEnd?(run: RunView): Done;
  save?(run: RunView): Done;
  trainEnd?(reason: FinishReason, run: RunView): Done;
  finish?(summary: Summary, run: RunView): Done;
  exception?(error: unknown, run: RunView): Done;
  dispose?(): void;
  /** What a checkpoint keeps; tensors are read, not disposed. */
  state?(): CallbackState;
  /** Puts back what `state` gave; tensors are the callback's to keep. */
  load?(state: { tensors: Record<string, tf.Tensor>; meta: Record<string, unknown> }): void;
}

/** Hooks that return nothing. */
export type EventName =
  | "setup"
  | "trainStart"
  | "iterationStart"
  | "updateEnd"
  | "log"
  | "evaluationStart"
  | "evaluationEnd"
  | "validationEnd"
  | "testEnd"
  | "iterationEnd"
  | "save"
  | "trainEnd"
  | "finish"
  | "exception";

/** The callbacks of a run in order, with the lists of each hook made once. */
export class Hooks {
  readonly callbacks: readonly Callback[];
  readonly #lists = new Map<string, Callback[]>();

  constructor(callbacks: readonly Callback[]) {
    this.callbacks = callbacks;
  }

  /** The callbacks that have `hook`, in order. */
  having<K extends keyof Callback>(hook: K): readonly (Callback & Required<Pick<Callback, K>>)[] {
    let found = this.#lists.get(hook);
    if (found === undefined) {
      found = this.callbacks.filter((callback) => typeof callback[hook] === "function");
      this.#lists.set(hook, found);
    }
    return found as (Callback & Required<Pick<Callback, K>>)[];
  }

  /** Offers a record's values to the callbacks, then has it written. */
  async record(phase: Phase, values: Values, run: RunView): Promise<void> {
    let record = values;
    for (const callback of this.having("values")) record = callback.values(phase, record, run);
    await this.emit("log", phase, run.state.iteration, record, run);
  }

  /** Calls an event on every callback that has it, one after the other. */
  async emit<K extends EventName>(
    event: K,
    ...args: Parameters<NonNullable<Callback[K]>>
  ): Promise<void> {
    for (const callback of this.having(event)) {
      const hook = callback[event] as (...args: unknown[]) => Done;
      const done = hook.apply(callback, args);
      if (done !== undefined) await done;
    }
  }
}
