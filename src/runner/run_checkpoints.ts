/** The checkpoints of a run: those it is asked for, that of an error, and going back to one. */
import type { CheckpointState } from "../checkpoint/checkpoint.ts";
import { ConfigError, NonFiniteError, oneLine } from "../core/errors.ts";
import type { RunContext } from "./context.ts";
import { viewOf } from "./run_view.ts";
import { nonFiniteParameter, restoreSnapshot, takeSnapshot } from "./snapshot.ts";
import { restoreState, type RunState } from "./state.ts";
import type { TrainingLoop } from "./training_loop.ts";

/** Makes the checkpoints of a run, and goes back to them. */
export class RunCheckpoints {
  readonly #context: RunContext;
  readonly #loop: TrainingLoop;
  readonly #check: () => void;
  /** One that is asked for and whose state is not yet copied. */
  #copying: Promise<void> | undefined;
  /** Settles with all that are asked for. */
  #copies: Promise<unknown> | undefined;

  /** @param check Throws if the state is that of no iteration. */
  constructor(context: RunContext, loop: TrainingLoop, check: () => void) {
    this.#context = context;
    this.#loop = loop;
    this.#check = check;
  }

  /**
   * Copies the state and has it written; those that ask while one waits to be copied share it.
   * Resolves when it is copied.
   */
  async save(): Promise<void> {
    const { calling } = this.#context.hooks;
    if (calling === "save" || calling === "state") throw partOfOne(calling);
    if (this.#copying === undefined) {
      this.#copying = this.#copy();
      this.#copies = Promise.allSettled([this.#copies, this.#copying]);
    }
    await this.#copying;
  }

  /** The same, and a rollback goes back to it. */
  async saveAtCadence(): Promise<void> {
    if (this.#loop.making !== undefined) {
      const rule = "saveAtCadence() is for the end of an iteration, not the middle of one";
      throw new ConfigError("", rule);
    }
    const { state, parts: { settings } } = this.#context;
    const { anchor, iteration } = state;
    // At once: others of this iteration that are made meanwhile are to say the same.
    if (typeof settings.train.nonFinite === "object") state.anchor = iteration;
    try {
      await this.save();
    } catch (error) {
      if (state.anchor === iteration) state.anchor = anchor;
      throw error;
    }
  }

  /** Waits until all that were asked for are written, or could not be. */
  async idle(): Promise<void> {
    await this.#copies;
    await this.#context.saver.idle();
  }

  /**
   * Keeps the state in which an error ended the run. At the end of an iteration, and finite, it is a
   * checkpoint like others, but marked; else a file of its own, which no run resumes from.
   */
  async keepException(error: unknown): Promise<void> {
    const { state: { iteration }, saver, parts: { model, checkpoints, output, store } } =
      this.#context;
    const { intact } = this.#loop;
    if (iteration === 0 || (intact && saver.last === iteration)) return;
    const snapshot = await this.#snapshot({ exception: oneLine(error) });
    if (intact && nonFiniteParameter(model, snapshot) === undefined) {
      saver.save(iteration, snapshot, () => this.#flush());
      await saver.settle();
    } else {
      const name = await checkpoints.saveException(iteration, snapshot);
      output.line(`the state at the error is in ${store.location}/${name}`);
    }
  }

  /** Puts the checkpoint of `iteration` into the run. */
  restore(iteration: number, state: CheckpointState): void {
    const { parts: { settings, output, store }, engine, saver } = this.#context;
    const saved = restoreSnapshot(
      this.#parts(),
      state,
      `${store.location}, iteration ${iteration}`,
      { allowChanged: settings.allowChanged, log: (line) => output.line(line) },
    );
    restoreState(this.#context.state, saved);
    engine.push();
    this.#loop.renew();
    saver.last = iteration;
  }

  async #copy(): Promise<void> {
    const { state, saver, parts } = this.#context;
    try {
      await saver.room();
      while (this.#loop.making !== undefined) await this.#loop.making.catch(() => {});
    } finally {
      // What asks from here on asks for a later state.
      this.#copying = undefined;
    }
    this.#check();
    // Of the moment of the copy: the run goes on while it is read.
    const { iteration, anchor } = state;
    const snapshot = await this.#snapshot();
    const bad = nonFiniteParameter(parts.model, snapshot);
    if (bad !== undefined) {
      throw new NonFiniteError(iteration, `the parameter ${bad} is not finite`);
    }
    const anchors = anchor === undefined ? [] : [anchor];
    saver.save(iteration, snapshot, () => this.#flush(), anchors);
  }

  /** Has the callbacks write what a checkpoint refers to. */
  async #flush(): Promise<void> {
    const { hooks, run } = this.#context;
    const saveCheckpoint = () => Promise.reject(partOfOne("save"));
    await hooks.emit("save", viewOf(run, { saveCheckpoint, saveAtCadence: saveCheckpoint }));
  }

  /** The whole state, with some counters set. */
  async #snapshot(more: Partial<RunState> = {}): Promise<CheckpointState> {
    const { state } = this.#context;
    // Resumed from the checkpoint of an early stop, a run must not train on, also if it was killed
    // before the loop ended.
    const { stopping } = this.#loop;
    const finished = state.finished ?? (stopping === "early-stopping" ? stopping : undefined);
    return await takeSnapshot(this.#parts(), { ...state, finished, ...more });
  }

  #parts() {
    const { parts, engine, hooks, meters, aside } = this.#context;
    const { model, optimizer, scheduler, fingerprint, numeric } = parts;
    return { model, optimizer, engine, scheduler, fingerprint, numeric, hooks, meters, aside };
  }
}

function partOfOne(hook: string): ConfigError {
  return new ConfigError("", `cannot save a checkpoint in a ${hook} hook, which is part of one`);
}
