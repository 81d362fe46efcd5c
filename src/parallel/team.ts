/**
 * The workers of a run, from the coordinator's side: started together, given commands through shared
 * memory, watched while they work, and ended together. A team is never repaired: if one of its
 * workers is lost all end, and another team with memory of its own takes over, so that nothing a
 * lost worker may still write can be seen.
 */
import {
  CheckpointError,
  ConfigError,
  DataError,
  dueTo,
  NonFiniteError,
  oneLine,
} from "../core/errors.ts";
import type { Split } from "../runner/engine.ts";
import type { Arena } from "./arena.ts";
import { post } from "./mailbox.ts";
import type { PlacedBatch, WorkerSetup } from "./protocol.ts";
import { SignsOfLife } from "./signs_of_life.ts";
import { spawnWorker, type WorkerHandle } from "./spawn.ts";
import type { TrainWorker } from "./train_worker.ts";

/** A worker was lost or hangs: what it was at can be done again by another team. Its error is the `cause`. */
export class LostWorker extends Error {
  override readonly name = "LostWorker";
  /** Whether it gave no sign of life, as one that is only slow does too. */
  readonly silent: boolean;

  constructor(
    message: string,
    { silent = false, cause }: { silent?: boolean; cause?: unknown } = {},
  ) {
    super(message, dueTo(cause));
    this.silent = silent;
  }
}

/** How often workers are looked after, in ms. */
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
  readonly #setup: Omit<WorkerSetup, "index" | "memory" | "layout">;
  readonly #handles: readonly WorkerHandle<TrainWorker>[];
  /** The pending `run` of each worker; empty while the team is at rest. */
  #runs: Promise<void>[] = [];
  #turn = 0;
  #batch: SharedArrayBuffer;
  /** When each worker has answered last. */
  readonly #answered: number[] = [];
  /** Why the team is lost. */
  #lost: LostWorker | undefined;
  #isSpent = false;
  #ended = false;
  /** Called when there is something to see in the shared memory. */
  #wake: () => void = () => {};

  /** Starts the threads; {@link build} is next. */
  constructor(
    setup: Omit<WorkerSetup, "index" | "memory" | "layout">,
    arena: Arena,
    { workerUrl, name }: TeamOptions,
  ) {
    this.arena = arena;
    this.#batch = setup.batch;
    this.#setup = setup;
    this.#handles = Array.from({ length: arena.layout.workers }, (_, i) => {
      const handle = spawnWorker<TrainWorker>({ url: workerUrl, name: `${name} ${i + 1}` });
      handle.onEnd = (reason, cause) => {
        this.#lost ??= new LostWorker(
          `worker ${i + 1} ${handle.isHeard ? "ended" : "cannot start"}: ${reason}`,
          { cause },
        );
        this.#wake();
      };
      handle.onNews = () => this.#wake();
      return handle;
    });
  }

  /**
   * Has the workers build their parts. Here as below, `limit` is how long one of them may give no sign
   * of life, in ms.
   *
   * @throws {LostWorker} If one ends, fails or hangs.
   * @throws {ConfigError} Like the other errors that another team would only repeat.
   */
  async build(limit: number): Promise<void> {
    const { memory, layout } = this.arena;
    try {
      await this.#all("start", limit, ({ remote }, index) => {
        return remote.init({ ...this.#setup, index, memory, layout });
      });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(
        "workers",
        `a worker cannot build what this thread has built: ${error.message}` +
          (error.message.includes("; known: ")
            ? " (what a program registers must be in a module that imports lists)"
            : ""),
        dueTo(error.cause),
      );
    }
  }

  /** Whether a worker has ended with an error of the run's own: what comes next, as after a rollback, is for another team. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /** Gives all workers a command, which they come to after those before; answers its number. */
  command(kind: number, message: Uint8Array): number {
    this.#enter();
    post(this.arena, this.arena.nextNumber, message);
    return this.arena.command(kind);
  }

  /**
   * Resolves when all workers are done with a command.
   *
   * @throws As {@link build} does.
   */
  async finish(command: number, limit: number): Promise<void> {
    const { arena } = this;
    const lives = this.#handles.map((_, i) => new SignsOfLife(arena, i));
    // Also wakes up to look for signs of life.
    const watch = setInterval(() => this.#wake(), WATCH_MS);
    try {
      for (;;) {
        const count = arena.newsCount;
        const { failed } = arena;
        const news = new Promise<void>((resolve) => this.#wake = resolve);
        if (arena.isFinished(command)) return;
        arena.news(count)?.then(() => this.#wake());
        if (failed >= 0) await this.#failure(failed, limit);
        if (this.#lost !== undefined) throw this.#lost;
        lives.forEach((life, i) => refuseSilence(life.silence(), limit, i));
        await news;
      }
    } finally {
      clearInterval(watch);
    }
  }

  /**
   * Takes the workers out of their loops, so that they hear messages; what they are at is not done, and
   * an error of it is nobody's.
   */
  async leave(limit: number): Promise<void> {
    if (this.#runs.length === 0) return;
    this.arena.setLeave(true);
    const runs = this.#runs;
    this.#runs = [];
    await this.#all("leave its loop", limit, (_, i) => runs[i].catch(() => {}));
    this.arena.abandon();
  }

  /** Where batches are put. */
  get batch(): SharedArrayBuffer {
    return this.#batch;
  }

  /** Puts batches there from now on. */
  async takeBatch(batch: SharedArrayBuffer, limit: number): Promise<void> {
    await this.leave(limit);
    await this.#all("take over a batch", limit, ({ remote }) => remote.takeBatch(batch));
    this.#batch = batch;
  }

  /** Has every worker take over the weights to be evaluated. */
  async startEvaluation(limit: number): Promise<void> {
    await this.leave(limit);
    await this.#all("take over weights", limit, ({ remote }) => remote.startEvaluation());
  }

  /**
   * Has the next worker evaluate a batch, after those that it has been given already. Answers its sums,
   * and how long it took.
   */
  async evaluate(
    split: Split,
    batch: PlacedBatch,
    position: number,
    limit: number,
  ): Promise<{ sums: ArrayLike<number>; ms: number }> {
    const i = this.#turn++ % this.#handles.length;
    const sent = performance.now();
    const answer = this.#handles[i].remote.evaluate(split, batch, position);
    const sums = await this.#answer(i, answer, "evaluate a batch", limit);
    const now = performance.now();
    const ms = now - Math.max(sent, this.#answered[i] ?? sent);
    this.#answered[i] = now;
    return { sums, ms };
  }

  /** Ends the workers, whatever they are at. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#lost ??= new LostWorker("the team has ended");
    this.arena.close();
    // Some runtimes cannot end a thread that is busy: it leaves at the next turn.
    this.arena.setLeave(true);
    // What waits for news holds the shared memory.
    this.arena.giveUp();
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

  /** Throws what worker `i` has thrown. */
  async #failure(i: number, limit: number): Promise<never> {
    const left = new LostWorker(`worker ${i + 1} left its loop`);
    try {
      await this.#answer(i, this.#runs[i], "say how it failed", limit);
    } finally {
      this.#lost ??= left;
      this.#isSpent = true;
    }
    throw left;
  }

  async #all(
    what: string,
    limit: number,
    ask: (handle: WorkerHandle<TrainWorker>, i: number) => Promise<void>,
  ): Promise<void> {
    await Promise.all(
      this.#handles.map((handle, i) => this.#answer(i, ask(handle, i), what, limit)),
    );
  }

  /** The answer of worker `i`; what is no fault of the run itself is a lost worker. */
  async #answer<R>(i: number, answer: Promise<R>, what: string, limit: number): Promise<R> {
    const life = new SignsOfLife(this.arena, i);
    let watch: ReturnType<typeof setInterval> | undefined;
    const silence = new Promise<never>((_, reject) => {
      watch = setInterval(() => {
        try {
          refuseSilence(life.silence(), limit, i, this.#handles[i].isHeard);
        } catch (error) {
          reject(error);
        }
      }, WATCH_MS);
    });
    try {
      return await Promise.race([this.#handles[i].call(answer, Infinity, what), silence]);
    } catch (error) {
      if (error instanceof LostWorker) throw error;
      const message = oneLine(error);
      const known = ownError(error as Error | null, message);
      throw known ?? this.#lost ?? new LostWorker(`worker ${i + 1}: ${message}`, { cause: error });
    } finally {
      clearInterval(watch);
    }
  }
}

function refuseSilence(ms: number, limit: number, worker: number, isHeard = true): void {
  if (ms <= limit) return;
  const seconds = (ms / 1000).toFixed(1);
  const hint = isHeard ? "" : ", nor any since it was started (workerUrl names its module)";
  throw new LostWorker(`worker ${worker + 1} has given no sign of life for ${seconds} s${hint}`, {
    silent: true,
  });
}

/** Errors that another team would only repeat. */
function ownError(cause: Error | null, message: string): Error | undefined {
  const name = cause?.name;
  if (name === "ConfigError") {
    const { path = "" } = cause as Partial<ConfigError>;
    const rule = message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
    return new ConfigError(path, rule, { cause });
  }
  if (name === "DataError") return new DataError(message, { cause });
  if (name === "CheckpointError") return new CheckpointError(message, { cause });
  // Its message begins with the iteration.
  const [, iteration, what] = /^iteration (\d+): (.*)$/.exec(message) ?? [];
  if (name === "NonFiniteError" && what) {
    return new NonFiniteError(Number(iteration), what, { cause });
  }
  return undefined;
}
