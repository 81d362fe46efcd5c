/**
 * Writes beside the training: a checkpoint costs the loop the copy of its state, no more.
 *
 * Jobs follow one another; at most one waits while one is at work, and whoever brings a third waits
 * (a slow disk slows the run down and does not fill the memory). `best.safetensors` is written before
 * the checkpoint that speaks of it; where that failed it is tried again with the next checkpoint.
 */
import type { Checkpoint, CheckpointDirectory, CheckpointState } from "../checkpoint/checkpoint.ts";
import type { StoreLock } from "../checkpoint/store.ts";
import { CheckpointError } from "../core/errors.ts";
import type { Output } from "../report/console.ts";
import type { RunSettings } from "./settings.ts";

/** What a saver works with. */
export interface SaverParts {
  readonly checkpoints: CheckpointDirectory;
  readonly output: Output;
  readonly settings: Pick<RunSettings, "keep" | "onError">;
}

/** The one writer of a run's checkpoints. */
export class Saver {
  /** That no other run writes here; undefined while nothing is written. */
  lock: StoreLock | undefined;
  /** The iteration of the checkpoint that was queued or restored last. */
  last: number | undefined;
  readonly #parts: SaverParts;
  readonly #jobs: Promise<void>[] = [];
  #failed: { error: unknown } | undefined;
  /** The best weights while they are not written. */
  #best: Checkpoint | undefined;

  constructor(parts: SaverParts) {
    this.#parts = parts;
  }

  /** Waits until there is room for one more; the copy of a state comes after that. */
  async room(): Promise<void> {
    while (this.#jobs.length > 1) await this.#jobs[0];
    this.check();
  }

  /** @throws What a job has thrown, once. */
  check(): void {
    const failed = this.#failed;
    this.#failed = undefined;
    if (failed !== undefined) throw failed.error;
    this.lock?.check();
  }

  /** Queues the best weights. */
  keepBest(iteration: number, state: CheckpointState): void {
    this.#best = { iteration, state };
    this.#add(() => this.#writeBest());
  }

  /**
   * Queues a checkpoint; `flush` first writes what it refers to, and those `also` named stay.
   *
   * @returns Settles when it is written, or could not be.
   */
  save(
    iteration: number,
    state: CheckpointState,
    flush: () => Promise<void>,
    also: readonly number[] = [],
  ): Promise<void> {
    this.last = iteration;
    return this.#add(async () => {
      await flush();
      await this.#writeBest();
      await this.#parts.checkpoints.save(iteration, state);
      const { keep } = this.#parts.settings;
      await this.#parts.checkpoints.prune({ ...keep, at: [...keep.at ?? [], ...also] });
    });
  }

  /** Waits until what is queued now is written; a program may queue more all the time. */
  async settle(): Promise<void> {
    await this.idle();
    this.check();
  }

  /** What has failed so far has been told. */
  forget(): void {
    this.#failed = undefined;
  }

  /** Waits until what is queued now is written, or could not be. */
  async idle(): Promise<void> {
    await this.#jobs.at(-1);
  }

  /** The best weights, whether they could be written or not; in files they are not older than `since`. */
  async best(since?: number): Promise<Checkpoint | undefined> {
    await this.idle();
    return this.#best ?? await this.#parts.checkpoints.best(since);
  }

  /** Runs what writes files: a fault of theirs ends the run, or is told in a line, as `onError` says. */
  async attempt(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#parts.settings.onError === "stop" || !(error instanceof CheckpointError)) {
        throw error;
      }
      this.#parts.output.line(`${error.message}; going on, as checkpoint.onError says`);
    }
  }

  #add(work: () => Promise<void>): Promise<void> {
    const before = this.#jobs.at(-1) ?? Promise.resolve();
    const written = before.then(() => this.attempt(work));
    const job = written
      .catch((error) => void (this.#failed ??= { error }))
      .then(() => void this.#jobs.shift());
    this.#jobs.push(job);
    return written;
  }

  async #writeBest(): Promise<void> {
    const best = this.#best;
    if (best === undefined) return;
    await this.#parts.checkpoints.saveBest(best.iteration, best.state);
    if (this.#best === best) this.#best = undefined;
  }
}
