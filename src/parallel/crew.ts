/**
 * The teams of a run, one after the other: the next one is built when the last one has lost a worker,
 * or has too little memory, and takes over the training state.
 */
import { ConfigError, dueTo, WorkerError } from "../core/errors.ts";
import type { Model } from "../model/model.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Output } from "../report/console.ts";
import type { Split } from "../runner/engine.ts";
import { Arena } from "./arena.ts";
import { layoutOf, serves } from "./layout.ts";
import type { WorkerSpec } from "./protocol.ts";
import { LostWorker, Team } from "./team.ts";
import { ThreadModuleError } from "./thread.ts";
import { TrainingState } from "./training_state.ts";

/** What a crew is made of. */
export interface CrewParts {
  readonly workers: number;
  readonly model: Model;
  readonly optimizer: Optimizer;
  readonly spec: WorkerSpec;
  readonly output: Output;
  readonly workerUrl?: string | URL;
  /** How often lost workers may be replaced. */
  readonly maxRestarts: number;
}

/** What a worker may be slow at. */
type Work = "start" | "iteration" | Split;

/** Sizes that the shared memory must have. */
export interface Needs {
  readonly batchBytes: number;
  readonly mailboxBytes: number;
  readonly chunks: number;
}

/** Whoever is at work. */
export class Crew {
  readonly state: TrainingState;
  /** How long a worker may be silent, in ms, before the first of what it is at is done. */
  firstLimitMs = 30_000;
  onRestart?: () => void;
  readonly #parts: CrewParts;
  #team: Team | undefined;
  #needs: Needs;
  /** The longest so far, in ms: iterations, and batches of evaluations. */
  readonly #slowest = new Map<Work, number>();
  #restarts = 0;
  /** Whether a team has ever built its parts. */
  #isBuilt = false;
  /** Counted up by `rest` and `dispose`: what began before is not to be gone on with. */
  #era = 0;
  #disposed = false;

  constructor(parts: CrewParts, chunks: number) {
    this.#parts = parts;
    this.#needs = { batchBytes: 0, mailboxBytes: 16384, chunks };
    this.state = new TrainingState(parts.model, parts.optimizer);
  }

  /** The team at work, if there is one. */
  get team(): Team | undefined {
    return this.#team;
  }

  get era(): number {
    return this.#era;
  }

  /** @throws {WorkerError} If the run was disposed, or has come to rest, since `era`. */
  refuseOver(era: number): void {
    if (this.#disposed) throw new WorkerError("the run has been disposed");
    if (era !== this.#era) throw new WorkerError("the call of the run is over");
  }

  async rest(): Promise<void> {
    if (this.#disposed) return;
    this.#era++;
    try {
      this.state.comeHome();
    } finally {
      await this.#end();
    }
  }

  dispose(): void {
    this.#disposed = true;
    this.#era++;
    this.#end().catch(() => {});
    this.state.giveUp();
  }

  /** Ends the team; what it was at is lost. */
  async #end(): Promise<void> {
    const team = this.#team;
    this.#team = undefined;
    await team?.end();
  }

  /**
   * Waits for workers, which are lost when they are silent for `limit` ms. One that was may have been slow
   * only: the next team has more time.
   */
  async within<T>(what: Work, wait: (limit: number) => Promise<T>): Promise<T> {
    const limit = this.#limit(what);
    try {
      return await wait(limit);
    } catch (error) {
      // Others that waited as long may have been first.
      if (error instanceof LostWorker && error.silent && this.#limit(what) === limit) {
        if (this.#slowest.has(what)) this.took(what, limit);
        else this.firstLimitMs *= 2;
      }
      throw error;
    }
  }

  #limit(what: Work): number {
    const slowest = this.#slowest.get(what);
    return slowest === undefined ? this.firstLimitMs : 2 * slowest + 1000;
  }

  took(what: Work, ms: number): void {
    this.#slowest.set(what, Math.max(this.#slowest.get(what) ?? 0, ms));
  }

  /** Does `work`, again with another team as long as workers are lost over it. */
  async surviving<T>(work: () => Promise<T>, where = ""): Promise<T> {
    const era = this.#era;
    for (;;) {
      this.refuseOver(era);
      try {
        return await work();
      } catch (error) {
        this.refuseOver(era);
        if (!(error instanceof LostWorker)) throw error;
        await this.replace(error, where);
      }
    }
  }

  /** Ends a team that has lost a worker. */
  async replace(error: LostWorker, where = ""): Promise<void> {
    const { output, maxRestarts } = this.#parts;
    const era = this.#era;
    await this.#end();
    this.refuseOver(era);
    if (this.#restarts >= maxRestarts) {
      const times = `${this.#restarts} time${this.#restarts === 1 ? "" : "s"}`;
      throw new WorkerError(
        `${where}${error.message}; workers were replaced ${times}, as maxWorkerRestarts says`,
        dueTo(error.cause),
      );
    }
    this.#restarts++;
    this.onRestart?.();
    output.line(
      `${where}${error.message}: replacing the workers (${this.#restarts} of ${maxRestarts})`,
    );
  }

  /** Whether the team at work has room for what is needed, and for an update by the present options. */
  suffices({ batchBytes, mailboxBytes, chunks }: Needs): boolean {
    if (this.#team === undefined || this.#team.isSpent) return false;
    const { arena: { layout }, batch } = this.#team;
    return layout.mailbox.bytes >= mailboxBytes && layout.chunks.count >= chunks &&
      serves(layout, this.#parts.model, this.#parts.optimizer) &&
      batch.byteLength >= 2 * batchBytes;
  }

  /** A team at work on shared memory that is large enough and holds the training state. */
  async ready(needs: Needs = this.#needs): Promise<Team> {
    const had = this.#needs;
    this.#needs = {
      batchBytes: Math.max(had.batchBytes, needs.batchBytes),
      // With room to spare: the digits of rates and iterations come and go.
      mailboxBytes: had.mailboxBytes < needs.mailboxBytes
        ? 2 * needs.mailboxBytes
        : had.mailboxBytes,
      chunks: Math.max(had.chunks, needs.chunks),
    };
    if (!this.suffices({ ...this.#needs, batchBytes: 0 })) {
      const era = this.#era;
      // From the memory of the team that is gone or goes.
      this.state.comeHome();
      await this.#end();
      this.refuseOver(era);
      const team = this.#team = this.#newTeam();
      await this.#build(team);
    } else if (!this.suffices(this.#needs)) {
      const batch = new SharedArrayBuffer(2 * this.#needs.batchBytes);
      await this.within("iteration", (limit) => this.#team!.takeBatch(batch, limit));
    }
    const team = this.#team;
    if (team === undefined) throw new LostWorker("the workers have ended");
    await this.state.leaveHome(team.arena);
    return team;
  }

  /**
   * Waits for a team to build its parts.
   *
   * @throws {ConfigError} If workers were never built, and their module is the reason: not another try.
   */
  async #build(team: Team): Promise<void> {
    try {
      await this.within("start", (limit) => team.build(limit));
      this.#isBuilt = true;
    } catch (error) {
      const { cause } = error as Error;
      if (this.#isBuilt || !(cause instanceof ThreadModuleError)) throw error;
      throw new ConfigError("options.workerUrl", cause.message, dueTo(cause.cause));
    }
  }

  #newTeam(): Team {
    const { model, optimizer, spec, workerUrl, workers } = this.#parts;
    const { batchBytes, mailboxBytes, chunks } = this.#needs;
    const arena = Arena.create(layoutOf(model, optimizer, { workers, chunks, mailboxBytes }));
    // Two batches: one is put there while the other is computed with.
    const batch = new SharedArrayBuffer(2 * batchBytes);
    return new Team({ spec, batch }, arena, { workerUrl, name: "downhill" });
  }
}
