/** Evaluations by workers: batches are handed out, and those of a lost team handed out again. */
import { batchSize } from "../data/batch.ts";
import type { Allocate, HostBatch } from "../data/dataset.ts";
import type { EvaluationLanes, Split } from "../runner/engine.ts";
import { allocateIn, type BatchRoom, placesOf, putBatch } from "./batch_places.ts";
import type { Crew } from "./crew.ts";
import type { PlacedBatch } from "./protocol.ts";
import { LostWorker } from "./team.ts";

/** An evaluation under way. */
export class WorkerEvaluation implements EvaluationLanes {
  readonly width: number;
  readonly #crew: Crew;
  readonly #split: Split;
  /** Memory that batches take turns at: one is loaded while the others are under way. */
  readonly #slots: SharedArrayBuffer[];
  /** How many batches have been put there. */
  #placed = 0;
  /** The replacement of a team, which all batches wait for. */
  #replacing: Promise<void> | undefined;

  private constructor(crew: Crew, split: Split, workers: number) {
    this.#crew = crew;
    this.#split = split;
    this.width = 2 * workers;
    this.#slots = Array.from({ length: this.width + 1 }, () => new SharedArrayBuffer(0));
  }

  /** Has the workers take over the weights that the model of this process holds now. */
  static async begin(crew: Crew, split: Split, workers: number): Promise<WorkerEvaluation> {
    await crew.surviving(() => lend(crew));
    return new WorkerEvaluation(crew, split, workers);
  }

  allocator(): Allocate {
    return allocateIn(roomOf(this.#slots[this.#placed % this.#slots.length]));
  }

  async run(rows: HostBatch, position: number): Promise<ArrayLike<number>> {
    const batch = this.#place(rows);
    const crew = this.#crew;
    const split = this.#split;
    const { era } = crew;
    for (;;) {
      await this.#replacing;
      const { team } = crew;
      try {
        if (team === undefined) throw new LostWorker("the workers have ended");
        const { sums, ms } = await crew.within(
          split,
          (limit) => team.evaluate(split, batch, position, limit),
        );
        crew.took(split, ms);
        return sums;
      } catch (error) {
        crew.refuseOver(era);
        if (!(error instanceof LostWorker)) throw error;
        if (crew.team !== team) continue;
        this.#replacing = this.#replace(error);
      }
    }
  }

  /**
   * Puts a batch, or what is not there yet of it, into the next slot.
   *
   * @throws {DataError} If it is none.
   */
  #place(batch: HostBatch): PlacedBatch {
    batchSize(batch);
    const slot = this.#placed++ % this.#slots.length;
    let buffer = this.#slots[slot];
    let { fields, bytes } = placesOf(batch, 0, roomOf(buffer));
    if (bytes > buffer.byteLength) {
      ({ fields, bytes } = placesOf(batch, 0));
      buffer = this.#slots[slot] = new SharedArrayBuffer(bytes);
    }
    putBatch(batch, fields, buffer);
    return { buffer, fields };
  }

  async #replace(error: LostWorker): Promise<void> {
    await this.#crew.replace(error);
    await this.#crew.surviving(() => lend(this.#crew));
  }
}

function roomOf(buffer: SharedArrayBuffer): BatchRoom {
  return { buffer, start: 0, end: buffer.byteLength };
}

async function lend(crew: Crew): Promise<void> {
  const team = await crew.ready();
  await crew.within("iteration", (limit) => team.leave(limit));
  await crew.state.lend();
  await crew.within("iteration", (limit) => team.startEvaluation(limit));
}
