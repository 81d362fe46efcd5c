/**
 * A run whose gradients, updates and evaluations are computed by workers.
 *
 * The state of the training is in one of two places. At home: in the model and the optimizer of this
 * thread, as it is before the first iteration and after a checkpoint was restored. Away: in the
 * shared memory; then the model here is a copy that `pull` brings up to date, and the optimizer asks
 * for its state when somebody looks.
 */
import { WorkerError } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import { batchSize } from "../data/batch.ts";
import type { HostBatch } from "../data/dataset.ts";
import type { Model } from "../model/model.ts";
import { blockCount, treeSum } from "../optim/block_sums.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Output } from "../report/console.ts";
import { BinaryCounter } from "../runner/binary_counter.ts";
import type {
  CopiedOptimizerState,
  Engine,
  EvaluationLanes,
  IterationGradient,
  Split,
} from "../runner/engine.ts";
import { type Totals, totalsOf } from "../runner/gradients.ts";
import { type Bounds, chunkBounds } from "../runner/leaves.ts";
import * as tf from "../tensor/tf.ts";
import { Arena } from "./arena.ts";
import { placesOf, putBatch } from "./batch_places.ts";
import { HEADER, layoutOf, serves } from "./layout.ts";
import { encodeMessage } from "./mailbox.ts";
import { GRADIENT, UPDATE, type UpdateMessage, type WorkerSpec } from "./protocol.ts";
import { storeFloats } from "./state_access.ts";
import { LostWorker, Team } from "./team.ts";
import { TrainingState } from "./training_state.ts";

/** What a worker engine is made of. */
export interface WorkerEngineParts {
  readonly workers: number;
  readonly shards: number;
  /** Those of a whole batch. */
  readonly leaves: number;
  readonly model: Model;
  readonly optimizer: Optimizer;
  readonly spec: WorkerSpec;
  /** Sums that the metrics of a training batch take for each row. */
  readonly metricWidth: number;
  readonly output: Output;
  readonly workerUrl?: string | URL;
  /** How often lost workers may be replaced. */
  readonly maxRestarts: number;
}

/** What is asked of the workers for one gradient. */
interface Task {
  readonly batch: HostBatch;
  readonly bounds: Bounds;
  readonly iteration: number;
  readonly random: RandomStream;
}

/** What a worker may be slow at. */
type Work = "start" | "iteration" | Split;

/** Sizes that the shared memory must have. */
interface Needs {
  readonly batchBytes: number;
  readonly mailboxBytes: number;
  readonly chunks: number;
}

/** Computes in workers. */
export class WorkerEngine implements Engine {
  readonly workers: number;
  /** How long a worker may be silent, in ms, before the first of what it is at is done. */
  firstLimitMs = 30_000;
  onRestart?: () => void;
  readonly #parts: WorkerEngineParts;
  readonly #state: TrainingState;
  #team: Team | undefined;
  #needs: Needs;
  /** The longest so far, in ms: iterations, and batches of evaluations. */
  readonly #slowest = new Map<Work, number>();
  #gradientMs = 0;
  #restarts = 0;
  /** Counted up by `rest` and `dispose`: what began before is not to be gone on with. */
  #era = 0;
  #disposed = false;
  /** The replacement during an evaluation, which all its batches wait for. */
  #replacing: Promise<void> | undefined;

  constructor(parts: WorkerEngineParts) {
    this.workers = parts.workers;
    this.#parts = parts;
    const chunks = chunkBounds(parts.leaves, parts.shards).length;
    this.#needs = { batchBytes: 0, mailboxBytes: 16384, chunks };
    this.#state = new TrainingState(parts.model, parts.optimizer);
  }

  async gradient(
    batch: HostBatch,
    bounds: Bounds,
    iteration: number,
    random: RandomStream,
  ): Promise<IterationGradient> {
    const task = { batch, bounds, iteration, random };
    return await this.#surviving(async () => {
      await this.#compute(task);
      return this.#gradientOf(task);
    }, `iteration ${iteration}: `);
  }

  async evaluation(split: Split): Promise<EvaluationLanes> {
    await this.#surviving(() => this.#startEvaluation());
    this.#replacing = undefined;
    return {
      width: 2 * this.workers,
      run: (batch, position) => this.#evaluate(split, batch, position),
      end: () => {},
    };
  }

  pull(): void {
    this.#state.pull();
  }

  push(): void {
    this.#state.giveUp();
  }

  async optimizerState(): Promise<CopiedOptimizerState> {
    return await this.#state.optimizerState();
  }

  async rest(): Promise<void> {
    if (this.#disposed) return;
    this.#era++;
    this.#state.comeHome();
    await this.#end();
  }

  dispose(): void {
    this.#disposed = true;
    this.#era++;
    this.#end().catch(() => {});
  }

  /** Ends the team; what it was at is lost. */
  async #end(): Promise<void> {
    const team = this.#team;
    this.#team = undefined;
    await team?.end();
  }

  /** The team at work. */
  get #live(): Team {
    if (this.#team === undefined) throw new LostWorker("the workers have ended");
    return this.#team;
  }

  /** @throws {WorkerError} If the run was disposed, or has come to rest, since `era`. */
  #refuseOver(era: number): void {
    if (this.#disposed) throw new WorkerError("the run has been disposed");
    if (era !== this.#era) throw new WorkerError("the call of the run is over");
  }

  /** A silent worker is lost after so long, in ms. */
  #limit(what: Work = "iteration"): number {
    const slowest = this.#slowest.get(what);
    return slowest === undefined ? this.firstLimitMs : 2 * slowest + 1000;
  }

  #took(what: Work, ms: number): void {
    this.#slowest.set(what, Math.max(this.#slowest.get(what) ?? 0, ms));
  }

  /** A worker that was silent may have been slow only: the next team has more time. */
  #giveTime(what: Work, error: unknown): void {
    if (!(error instanceof LostWorker && error.silent)) return;
    if (this.#slowest.has(what)) this.#took(what, this.#limit(what));
    else this.firstLimitMs *= 2;
  }

  /** Has the workers obey; answers how long it took, in ms. */
  async #command(team: Team, kind: number, message: Uint8Array): Promise<number> {
    const begin = performance.now();
    try {
      await team.command(kind, message, this.#limit());
      return performance.now() - begin;
    } catch (error) {
      this.#giveTime("iteration", error);
      throw error;
    }
  }

  /** Has the workers compute and add up the gradients of a batch. */
  async #compute({ batch, bounds, iteration, random }: Task): Promise<void> {
    const { shards, model, optimizer, metricWidth } = this.#parts;
    const chunks = chunkBounds(bounds.length, shards);
    const { fields, metricsAt, bytes } = placesOf(batch, batchSize(batch) * metricWidth);
    const message = encodeMessage({
      iteration,
      random: random.key,
      bounds,
      chunks,
      fields,
      frozen: Object.keys(model.parameters).filter((name) => !model.parameters[name].trainable),
      metricsAt,
    });
    // The options of the groups, and the number of each parameter.
    const update = encodeMessage(optionsOf(optimizer)).length +
      8 * Object.keys(model.parameters).length;
    const team = await this.#ready({
      batchBytes: bytes,
      mailboxBytes: 256 + Math.max(message.length, update),
      chunks: chunks.length,
    });
    putBatch(batch, fields, team.batch);
    this.#gradientMs = await this.#command(team, GRADIENT, message);
  }

  /** What the workers have computed, and the update that they can make with it. */
  #gradientOf(task: Task): IterationGradient {
    const { arena } = this.#live;
    const { layout } = arena;
    const chunks = chunkBounds(task.bounds.length, this.#parts.shards).length;
    const present = layout.gradients.map((_, g) =>
      Array.from({ length: chunks }, (_, chunk) => arena.presentIn(chunk)[g]).includes(1)
    );
    const made: tf.Tensor[] = [];
    const grads: Record<string, tf.Tensor> = Object.create(null);
    layout.gradients.forEach(({ name, tensor, size }, g) => {
      if (!present[g]) return;
      let value: tf.Tensor | undefined;
      Object.defineProperty(grads, name, {
        enumerable: true,
        get: () => {
          if (value === undefined) {
            // Of the arena at hand: another team has computed the same.
            const { arena } = this.#live;
            const values = arena.floatsAt(arena.gradientAt(0, g), size).slice();
            made.push(value = tf.keep(tf.tensor(values, [...layout.tensors[tensor].shape])));
          }
          return value;
        },
      });
    });
    const totals = this.#totals(task, chunks, present);
    return {
      grads,
      takeTimes: () => ({ ...this.#team?.arena.takeTimes() }),
      read: () => Promise.resolve(totals),
      apply: async (value) => {
        const given = value.grads === grads ? undefined : value.grads;
        await this.#apply(task, present, value.scale, given);
      },
      dispose: () => tf.dispose(made),
    };
  }

  #totals({ batch, bounds }: Task, chunks: number, present: readonly boolean[]): Totals {
    const { arena, batch: shared } = this.#live;
    const { layout } = arena;
    const losses = new BinaryCounter<number>((a, b) => Math.fround(a + b));
    const counts = new BinaryCounter<{ value: number; exact: boolean }>((a, b) => {
      const exact = a.exact && b.exact;
      const sum = exact
        ? a.value + b.value
        : Math.fround(Math.fround(a.value) + Math.fround(b.value));
      return { value: sum, exact };
    });
    for (let chunk = 0; chunk < chunks; chunk++) {
      const header = arena.headerOf(chunk);
      losses.push(header[HEADER.loss]);
      counts.push({ value: header[HEADER.count], exact: header[HEADER.countIsTensor] === 0 });
    }
    const squares = layout.gradients.flatMap(({ block, size }, g) => {
      const blocks = present[g] ? blockCount(size) : 0;
      return [...arena.doublesAt(layout.squaresAt + 8 * block, blocks)];
    });
    const { metricWidth } = this.#parts;
    const rows = bounds[bounds.length - 1][1] - bounds[0][0];
    const { metricsAt } = placesOf(batch, batchSize(batch) * metricWidth);
    const metrics = new Float32Array(shared, metricsAt, rows * metricWidth);
    const count = counts.total().value;
    return totalsOf(losses.total(), count, treeSum(squares), metrics, metricWidth);
  }

  /** The update with these gradients; `given` are those that callbacks have put in their place. */
  async #apply(
    task: Task,
    present: readonly boolean[],
    scale: number,
    given: Record<string, tf.Tensor> | undefined,
  ): Promise<void> {
    const { optimizer, shards } = this.#parts;
    const { bounds } = task;
    const groups = optionsOf(optimizer);
    const replaced = optimizer.resolve(given ?? {});
    const rows = bounds.reduce((sum, [start, end]) => sum + end - start, 0);
    const era = this.#era;
    let computed = true;
    await this.#surviving(async () => {
      // Another team has nothing of what a lost one had computed.
      if (!computed) await this.#compute(task);
      computed = false;
      const team = this.#live;
      const { gradients } = team.arena.layout;
      for (const [g, { name }] of gradients.entries()) {
        const gradient = replaced.get(name);
        if (gradient === undefined) continue;
        await storeFloats(team.arena, team.arena.gradientAt(0, g), gradient);
      }
      const isAbsent = (g: number) =>
        given === undefined ? !present[g] : !replaced.has(gradients[g].name);
      const message: UpdateMessage = {
        scale,
        groups,
        absent: gradients.flatMap((_, g) => isAbsent(g) ? [g] : []),
        averagedOver: bounds.length === 1 ? 0 : rows,
        lastChunk: chunkBounds(bounds.length, shards).length - 1,
      };
      const ms = await this.#command(team, UPDATE, encodeMessage(message));
      this.#took("iteration", this.#gradientMs + ms);
    }, `iteration ${task.iteration}: `);
    // What is not committed has not been.
    this.#refuseOver(era);
    this.#state.commit();
  }

  async #startEvaluation(): Promise<void> {
    const team = await this.#ready(this.#needs);
    await team.leave(this.#limit());
    await this.#state.lend();
    await team.startEvaluation(this.#limit());
  }

  async #evaluate(split: Split, batch: HostBatch, position: number): Promise<ArrayLike<number>> {
    const era = this.#era;
    for (;;) {
      await this.#replacing;
      const team = this.#team;
      try {
        if (team === undefined) throw new LostWorker("the workers have ended");
        const { sums, ms } = await team.evaluate(split, batch, position, this.#limit(split));
        this.#took(split, ms);
        return sums;
      } catch (error) {
        this.#refuseOver(era);
        if (!(error instanceof LostWorker)) throw error;
        if (this.#team !== team) continue;
        this.#giveTime(split, error);
        this.#replacing = this.#replaceForEvaluation(error);
      }
    }
  }

  async #replaceForEvaluation(error: LostWorker): Promise<void> {
    await this.#replace(error);
    await this.#surviving(() => this.#startEvaluation());
  }

  /** Does `work`, again with another team as long as workers are lost over it. */
  async #surviving<T>(work: () => Promise<T>, where = ""): Promise<T> {
    const era = this.#era;
    for (;;) {
      this.#refuseOver(era);
      try {
        return await work();
      } catch (error) {
        this.#refuseOver(era);
        if (!(error instanceof LostWorker)) throw error;
        await this.#replace(error, where);
      }
    }
  }

  /** Ends a team that has lost a worker. */
  async #replace(error: LostWorker, where = ""): Promise<void> {
    const { output, maxRestarts } = this.#parts;
    const era = this.#era;
    await this.#end();
    this.#refuseOver(era);
    if (this.#restarts >= maxRestarts) {
      const times = `${this.#restarts} time${this.#restarts === 1 ? "" : "s"}`;
      throw new WorkerError(
        `${where}${error.message}; workers were replaced ${times}, as maxWorkerRestarts says`,
      );
    }
    this.#restarts++;
    this.onRestart?.();
    output.line(
      `${where}${error.message}: replacing the workers (${this.#restarts} of ${maxRestarts})`,
    );
  }

  /** A team at work on shared memory that is large enough and holds the training state. */
  async #ready(needs: Needs): Promise<Team> {
    const had = this.#needs;
    this.#needs = {
      batchBytes: Math.max(had.batchBytes, needs.batchBytes),
      // With room to spare: the digits of rates and iterations come and go.
      mailboxBytes: had.mailboxBytes < needs.mailboxBytes
        ? 2 * needs.mailboxBytes
        : had.mailboxBytes,
      chunks: Math.max(had.chunks, needs.chunks),
    };
    const { batchBytes, mailboxBytes, chunks } = this.#needs;
    const { arena: { layout } = {}, batch } = this.#team ?? {};
    const fits = layout !== undefined && layout.mailbox.bytes >= mailboxBytes &&
      layout.chunks.count >= chunks && serves(layout, this.#parts.optimizer);
    if (!fits) {
      const era = this.#era;
      // From the memory of the team that is gone or goes.
      this.#state.comeHome();
      await this.#end();
      this.#refuseOver(era);
      this.#team = this.#newTeam();
      try {
        await this.#team.build(this.#limit("start"));
      } catch (error) {
        this.#giveTime("start", error);
        throw error;
      }
    } else if (batch!.byteLength < batchBytes) {
      await this.#team!.takeBatch(new SharedArrayBuffer(batchBytes), this.#limit());
    }
    const team = this.#live;
    await this.#state.leaveHome(team.arena);
    return team;
  }

  #newTeam(): Team {
    const { model, optimizer, spec, workerUrl } = this.#parts;
    const { batchBytes, mailboxBytes, chunks } = this.#needs;
    const { workers } = this;
    const arena = Arena.create(layoutOf(model, optimizer, { workers, chunks, mailboxBytes }));
    const batch = new SharedArrayBuffer(batchBytes);
    return new Team({ spec, batch }, arena, { workerUrl, name: "downhill" });
  }
}

/** The options of each group, without the names of what it holds. */
function optionsOf({ paramGroups }: Optimizer): Record<string, unknown>[] {
  return paramGroups.map(({ names: _, ...options }) => options);
}
