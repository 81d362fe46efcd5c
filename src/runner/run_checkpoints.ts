/** The checkpoints of a run: those it is asked for, that of an error, and going back to one. */
import type { CheckpointState } from "../checkpoint/checkpoint.ts";
import { ConfigError, NonFiniteError, oneLine } from "../core/errors.ts";
import type { RunContext } from "./context.ts";
import { nonFiniteParameter, restoreSnapshot, takeSnapshot } from "./snapshot.ts";
import { restoreState, type RunState } from "./state.ts";
import type { TrainingLoop } from "./training_loop.ts";

/** How long the callbacks may write before what waits for them may be one of them. */
const LONGEST_FLUSH_MS = 5000;

/** A checkpoint whose state is copied. */
interface Copied {
  readonly written: Promise<void>;
}

/** Makes the checkpoints of a run, and goes back to them. */
export class RunCheckpoints {
  readonly #context: RunContext;
  readonly #loop: TrainingLoop;
  readonly #check: () => void;
  /** One that is asked for and whose state is not yet copied. */
  #copying: Promise<Copied> | undefined;
  /** Settles with all that are asked for. */
  #asked: Promise<void> = Promise.resolve();
  /** Settles with all whose state is being copied. */
  #copies: Promise<void> = Promise.resolve();
  /** Settles when the run has gone back: until then no state is copied, which is to be given up. */
  #goingBack: Promise<void> | undefined;
  /** While the callbacks write what a checkpoint refers to. */
  #flushing: Promise<void> | undefined;

  /** @param check Throws if the state is that of no iteration. */
  constructor(context: RunContext, loop: TrainingLoop, check: () => void) {
    this.#context = context;
    this.#loop = loop;
    this.#check = check;
  }

  /**
   * Copies the state and has it written; those that ask while one waits to be copied share it.
   *
   * @param wait Whether it resolves when it is written, or when it is copied.
   */
  async save(wait: boolean): Promise<void> {
    const { calling } = this.#context.hooks;
    if (calling === "save" || calling === "state") throw partOfOne(calling);
    const saved = this.#save(wait);
    this.#asked = both(this.#asked, saved);
    await saved;
  }

  /** The same, and a rollback goes back to it. */
  async saveAtCadence(): Promise<void> {
    const { state, parts: { settings } } = this.#context;
    const { anchor, iteration } = state;
    // At once: others of this iteration that are made meanwhile are to say the same.
    if (typeof settings.train.nonFinite === "object") state.anchor = iteration;
    try {
      await this.save(false);
    } catch (error) {
      if (state.anchor === iteration) state.anchor = anchor;
      throw error;
    }
  }

  /** Waits until all that were asked for until now are written, or could not be. */
  async idle(): Promise<void> {
    await this.#asked;
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
      await saver.save(iteration, snapshot, () => this.#flush());
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

  /**
   * Goes back to the checkpoint of `iteration` in a run that goes on, with some counters set. What was
   * asked for before is written first, and what is asked for meanwhile is of the state it goes back to.
   */
  async goBack(iteration: number, counters: Partial<RunState>): Promise<void> {
    const { state, saver, parts: { checkpoints } } = this.#context;
    let gone = (): void => {};
    this.#goingBack = new Promise((resolve) => gone = resolve);
    try {
      await this.#copies;
      await saver.settle();
      this.restore(iteration, await checkpoints.load(iteration));
      // What the checkpoint says of an end is not of a run that goes on.
      Object.assign(state, counters, { finished: undefined });
    } finally {
      this.#goingBack = undefined;
      gone();
    }
  }

  async #save(wait: boolean): Promise<void> {
    if (wait && this.#flushing !== undefined) await this.#flushed(this.#flushing);
    const { written } = await (this.#copying ??= this.#whenReady());
    if (wait) await written;
  }

  /** Waits for the callbacks that write; one that asks would wait for itself, and is refused. */
  async #flushed(flushing: Promise<void>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const held = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(partOfOne("save")), LONGEST_FLUSH_MS);
    });
    const ended = flushing.catch(() => {});
    await Promise.race([ended, held]).finally(() => clearTimeout(timer));
  }

  async #whenReady(): Promise<Copied> {
    try {
      await this.#context.saver.room();
      while (this.#goingBack !== undefined || this.#loop.making !== undefined) {
        await this.#goingBack;
        await this.#loop.making?.catch(() => {});
      }
    } finally {
      // What asks from here on asks for a later state.
      this.#copying = undefined;
    }
    this.#check();
    const copied = this.#copy();
    this.#copies = both(this.#copies, copied);
    return await copied;
  }

  async #copy(): Promise<Copied> {
    const { state, saver, parts } = this.#context;
    // Of the moment of the copy: the run goes on while it is read.
    const { iteration, anchor } = state;
    const snapshot = await this.#snapshot();
    const bad = nonFiniteParameter(parts.model, snapshot);
    if (bad !== undefined) {
      throw new NonFiniteError(iteration, `the parameter ${bad} is not finite`);
    }
    const anchors = anchor === undefined ? [] : [anchor];
    const written = saver.save(iteration, snapshot, () => this.#flush(), anchors);
    return { written };
  }

  /** Has the callbacks write what a checkpoint refers to. */
  async #flush(): Promise<void> {
    const { hooks, run } = this.#context;
    try {
      await (this.#flushing = hooks.emit("save", run));
    } finally {
      this.#flushing = undefined;
    }
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

/** Settles with both; keeps nothing of them. */
async function both(a: Promise<unknown>, b: Promise<unknown>): Promise<void> {
  await Promise.allSettled([a, b]);
}

function partOfOne(hook: string): ConfigError {
  return new ConfigError("", `cannot save a checkpoint in a ${hook} hook, which is part of one`);
}
