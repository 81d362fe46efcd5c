/**
 * The workers of a run, from the coordinator's side: started together, given commands through shared
 * memory, watched while they work, and ended together. A team is never repaired: if one of its
 * workers is lost all end, and another team with memory of its own takes over, so that nothing a
 * lost worker may still write can be seen.
 */
import { ConfigError, DataError, NonFiniteError } from "../core/errors.ts";
import type { HostBatch } from "../data/dataset.ts";
import type { Split } from "../runner/engine.ts";
import type { Arena } from "./arena.ts";
import { post } from "./mailbox.ts";
import type { WorkerSetup } from "./protocol.ts";
import { spawnWorker, type WorkerHandle } from "./spawn.ts";
import type { TrainWorker } from "./train_worker.ts";

/** A worker was lost or hangs: what it was at can be done again by another team. */
export class LostWorker extends Error {
  override readonly name = "LostWorker";
}

/** How long workers may take to build their parts, in ms. */
const START_MS = 120_000;

/** How long a worker may take to leave its loop between two commands, in ms. */
const LEAVE_MS = 10_000;

/** How often a team at work is looked after, in ms. */
const WATCH_MS = 100;

/** What a team is told beside the setup of its workers. */
export interface TeamOptions {
  /** Where the worker's module is, if not beside this one. */
  readonly workerUrl?: string | URL;
  readonly name: string;
}

/** The workers. */
export class Team {
  readonly arena: Arena;
  readonly #handles: readonly WorkerHandle<TrainWorker>[];
  /** The pending `run` of each worker; empty while the team is at rest. */
  #runs: Promise<void>[] = [];
  #turn = 0;
  #batch: SharedArrayBuffer;
  /** Why the team is lost. */
  #lost: string | undefined;
  #ended = false;
  /** Called when there is something to see in the shared memory. */
  #wake: () => void = () => {};

  private constructor(
    arena: Arena,
    batch: SharedArrayBuffer,
    handles: readonly WorkerHandle<TrainWorker>[],
  ) {
    this.arena = arena;
    this.#batch = batch;
    this.#handles = handles;
    handles.forEach((handle, i) => {
      handle.onEnd = (reason) => {
        this.#lost ??= `worker ${i + 1} ended: ${reason}`;
        this.#wake();
      };
      handle.onNews = () => this.#wake();
    });
  }

  /** Starts the workers and has them build their parts. */
  static async start(
    setup: Omit<WorkerSetup, "index" | "memory" | "layout">,
    arena: Arena,
    { workerUrl, name }: TeamOptions,
  ): Promise<Team> {
    const { memory, layout } = arena;
    const handles = Array.from(
      { length: layout.workers },
      (_, i) => spawnWorker<TrainWorker>({ url: workerUrl, name: `${name} ${i + 1}` }),
    );
    const team = new Team(arena, setup.batch, handles);
    try {
      await Promise.all(
        handles.map((handle, index) =>
          team.#guard(
            handle,
            handle.remote.init({ ...setup, index, memory, layout }),
            START_MS,
            "start",
          )
        ),
      );
    } catch (error) {
      await team.end();
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(
        "workers",
        `a worker cannot build what this thread has built (${error.message}); what a program ` +
          "registers must be in a module that imports lists",
      );
    }
    return team;
  }

  /**
   * Has all workers obey a command; resolves when they are done.
   *
   * @param limit How long a worker may give no sign of life, in ms.
   * @throws {LostWorker} If one ends, fails or hangs.
   * @throws {ConfigError} Like the other errors of a run that its own model, loss or data throw.
   */
  async command(kind: number, message: Uint8Array, limit: number): Promise<void> {
    this.#enter();
    const { arena } = this;
    const { workers } = arena.layout;
    post(arena, message);
    const since = performance.now();
    const seen = Array.from({ length: workers }, (_, i) => ({ beat: arena.beatOf(i), at: since }));
    arena.command(kind);
    // Also wakes up to look for signs of life.
    const watch = setInterval(() => this.#wake(), WATCH_MS);
    try {
      for (;;) {
        const news = new Promise<void>((resolve) => this.#wake = resolve);
        arena.news()?.then(() => this.#wake());
        if (arena.isDone) return;
        if (arena.failed >= 0) await this.#failure(arena.failed);
        if (this.#lost !== undefined) throw new LostWorker(this.#lost);
        const now = performance.now();
        seen.forEach((last, i) => {
          const beat = arena.beatOf(i);
          if (beat !== last.beat) seen[i] = { beat, at: now };
          else if (now - last.at > limit) {
            throw new LostWorker(
              `worker ${i + 1} has given no sign of life for ${
                ((now - last.at) / 1000).toFixed(1)
              } s`,
            );
          }
        });
        await news;
      }
    } finally {
      clearInterval(watch);
    }
  }

  /** Takes the workers out of their loops, so that they hear messages. */
  async leave(): Promise<void> {
    if (this.#runs.length === 0) return;
    this.arena.setLeave(true);
    const runs = this.#runs;
    this.#runs = [];
    await Promise.all(
      this.#handles.map((handle, i) => this.#guard(handle, runs[i], LEAVE_MS, "leave its loop")),
    );
  }

  /** Where batches are put. */
  get batch(): SharedArrayBuffer {
    return this.#batch;
  }

  /** Puts batches there from now on. */
  async takeBatch(batch: SharedArrayBuffer, limit: number): Promise<void> {
    await this.leave();
    await Promise.all(
      this.#handles.map((handle) =>
        this.#guard(handle, handle.remote.takeBatch(batch), limit, "take over a batch")
      ),
    );
    this.#batch = batch;
  }

  /** Has every worker take over the weights to be evaluated. */
  async startEvaluation(limit: number): Promise<void> {
    await this.leave();
    await Promise.all(
      this.#handles.map((handle) =>
        this.#guard(handle, handle.remote.startEvaluation(), limit, "take over weights")
      ),
    );
  }

  /** Has the next worker evaluate a batch. */
  async evaluate(
    split: Split,
    batch: HostBatch,
    position: number,
    limit: number,
  ): Promise<ArrayLike<number>> {
    const handle = this.#handles[this.#turn++ % this.#handles.length];
    const sums = handle.remote.evaluate(split, batch, position);
    return await this.#guard(handle, sums, limit, "evaluate a batch");
  }

  /** Ends the workers, whatever they are at. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#lost ??= "the team has ended";
    // Some runtimes cannot end a thread that is busy: it leaves at the next turn.
    this.arena.setLeave(true);
    await Promise.all(this.#handles.map((handle) => handle.terminate()));
  }

  /** Puts the workers into their loops. */
  #enter(): void {
    if (this.#runs.length > 0) return;
    this.arena.setLeave(false);
    this.#runs = this.#handles.map((handle) => {
      const run = handle.remote.run();
      // Looked at when the worker fails, or leaves.
      run.catch(() => {});
      return run;
    });
  }

  /** Throws what worker `index` has thrown. */
  async #failure(index: number): Promise<never> {
    await this.#guard(this.#handles[index], this.#runs[index], LEAVE_MS, "say how it failed");
    throw new LostWorker(`worker ${index + 1} left its loop`);
  }

  /** The answer of a worker; what is no fault of the run itself is a lost worker. */
  async #guard<R>(
    handle: WorkerHandle<TrainWorker>,
    answer: Promise<R>,
    ms: number,
    what: string,
  ): Promise<R> {
    try {
      return await handle.call(answer, ms, what);
    } catch (error) {
      const { name, message } = error as Error;
      const worker = `worker ${this.#handles.indexOf(handle) + 1}`;
      throw ownError(name, message) ?? new LostWorker(this.#lost ?? `${worker}: ${message}`);
    }
  }
}

/** Errors that another team would only repeat. */
function ownError(name: string, message: string): Error | undefined {
  if (name === "ConfigError") return new ConfigError("", message);
  if (name === "DataError") return new DataError(message);
  if (name === "NonFiniteError") return new NonFiniteError(0, message);
  return undefined;
}
