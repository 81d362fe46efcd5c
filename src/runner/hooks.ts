/**
 * What callbacks may hook into. A hook that changes a value returns it, or nothing, which keeps it as
 * it was; the others return nothing.
 * When each is called, on a stop, an error and a resume too, is a table in ARCHITECTURE.md.
 */
import type { HostBatch } from "../data/dataset.ts";
import type { LossResult } from "../loss/loss.ts";
import type * as tf from "../tensor/tf.ts";
import { changed, type ChangeName } from "./hook_values.ts";
import type { Phase, Values } from "./record.ts";
import type { RunView } from "./run_view.ts";
import type { FinishReason, Summary } from "./state.ts";

export type { Phase, Values } from "./record.ts";

/** What `output` sees and may replace. */
export interface OutputValue {
  prediction: tf.Tensor;
  target: tf.Tensor;
  mask?: tf.Tensor;
}

/** What `gradients` sees and may replace: the update uses `grads * scale`. */
export interface GradientValue<Scale = number, Norm = number> {
  /** By parameter name; summed over items. Freed with the update: what is to be kept must be cloned. */
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
  batch?(batch: HostBatch, run: RunView): HostBatch | void;
  output?(value: OutputValue, context: TapeContext): OutputValue | void;
  loss?(value: LossResult, context: TapeContext): LossResult | void;
  gradients?(value: GradientValue, run: RunView): GradientValue | void;
  /**
   * The same as `gradients`, with scale and norm on the device; runs in a tidy. On WebGPU it takes
   * the place of `gradients` if every callback that has one has the other; one that has this alone is
   * refused.
   */
  deviceGradients?(value: DeviceGradientValue, run: RunView): DeviceGradientValue | void;
  updateEnd?(run: RunView): Done;
  values?(phase: Phase, values: Values, run: RunView): Values | void;
  log?(phase: Phase, iteration: number, values: Values, run: RunView): Done;
  evaluationStart?(run: RunView): Done;
  evaluationEnd?(run: RunView): Done;
  validationEnd?(values: Values, run: RunView): Done;
  testEnd?(values: Values, run: RunView): Done;
  iterationEnd?(run: RunView): Done;
  /** May not ask for a checkpoint: it is part of one; what asks and waits all the same is refused after 5 s. */
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

const hooks: { readonly [K in Exclude<keyof Callback, "name">]-?: true } = {
  setup: true,
  load: true,
  trainStart: true,
  iterationStart: true,
  batch: true,
  output: true,
  loss: true,
  gradients: true,
  deviceGradients: true,
  updateEnd: true,
  values: true,
  log: true,
  evaluationStart: true,
  evaluationEnd: true,
  validationEnd: true,
  testEnd: true,
  iterationEnd: true,
  save: true,
  state: true,
  trainEnd: true,
  finish: true,
  exception: true,
  dispose: true,
};

/** The names of all hooks. */
export const hookNames: readonly string[] = Object.keys(hooks);

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
  /** The event whose hook runs, until it awaits something. */
  calling: EventName | "state" | undefined;
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

  /** What the callbacks that have `hook` make of `value` by `call`, one after the other. */
  change<K extends ChangeName, T>(
    hook: K,
    value: T,
    call: (callback: Callback & Required<Pick<Callback, K>>, value: T) => T | void,
  ): T {
    return this.having(hook).reduce(
      (value, callback) => changed(callback, hook, value, call(callback, value)),
      value,
    );
  }

  /**
   * Offers a record's values to the callbacks, then has it written. `then` follows at once, so that no
   * checkpoint comes in between.
   */
  async record(
    phase: Phase,
    values: Values,
    run: RunView,
    then?: () => Done,
  ): Promise<void> {
    const record = this.change(
      "values",
      values,
      (callback, values) => callback.values(phase, values, run),
    );
    await this.#each("log", [phase, run.state.iteration, record, run], then);
  }

  /** Calls an event on every callback that has it, one after the other. */
  async emit<K extends EventName>(
    event: K,
    ...args: Parameters<NonNullable<Callback[K]>>
  ): Promise<void> {
    await this.#each(event, args);
  }

  async #each(event: EventName, args: unknown[], then?: () => Done): Promise<void> {
    for (const callback of this.having(event)) {
      const done = this.call(callback, event, args);
      if (done !== undefined) await done;
    }
    await then?.();
  }

  /** Calls an event on one callback. */
  call(callback: Callback, event: EventName, args: unknown[]): Done {
    return this.#during(
      event,
      () => (callback[event] as (...args: unknown[]) => Done).apply(callback, args),
    );
  }

  /** What a checkpoint keeps for the callbacks, by their names. */
  states(): [name: string, state: CallbackState][] {
    return this.having("state").map((callback) => [
      callback.name,
      this.#during("state", () => callback.state()),
    ]);
  }

  #during<T>(event: EventName | "state", work: () => T): T {
    const outer = this.calling;
    this.calling = event;
    try {
      return work();
    } finally {
      this.calling = outer;
    }
  }

  /** `evaluationEnd`, also after one that fails: callbacks put weights back there. */
  async emitEvaluationEnd(run: RunView): Promise<void> {
    const failures: unknown[] = [];
    for (const callback of this.having("evaluationEnd")) {
      try {
        await this.call(callback, "evaluationEnd", [run]);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
