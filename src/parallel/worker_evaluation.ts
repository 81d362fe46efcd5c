/** Evaluations by workers: batches are handed out, and those of a lost team handed out again. */
import type { HostBatch } from "../data/dataset.ts";
import type { EvaluationLanes, Split } from "../runner/engine.ts";
import type { Crew } from "./crew.ts";
import { LostWorker } from "./team.ts";

/** An evaluation under way. */
export class WorkerEvaluation implements EvaluationLanes {
  readonly width: number;
  readonly #crew: Crew;
  readonly #split: Split;
  /** The replacement of a team, which all batches wait for. */
  #replacing: Promise<void> | undefined;

  private constructor(crew: Crew, split: Split, workers: number) {
    this.#crew = crew;
    this.#split = split;
    this.width = 2 * workers;
  }

  /** Has the workers take over the weights that the model of this process holds now. */
  static async begin(crew: Crew, split: Split, workers: number): Promise<WorkerEvaluation> {
    await crew.surviving(() => lend(crew));
    return new WorkerEvaluation(crew, split, workers);
  }

  async run(batch: HostBatch, position: number): Promise<ArrayLike<number>> {
    const crew = this.#crew;
    const split = this.#split;
    const { era } = crew;
    for (;;) {
      await this.#replacing;
      const { team } = crew;
      try {
        if (team === undefined) throw new LostWorker("the workers have ended");
        const { sums, ms } = await team.evaluate(split, batch, position, crew.limit(split));
        crew.took(split, ms);
        return sums;
      } catch (error) {
        crew.refuseOver(era);
        if (!(error instanceof LostWorker)) throw error;
        if (crew.team !== team) continue;
        crew.giveTime(split, error);
        this.#replacing = this.#replace(error);
      }
    }
  }

  end(): void {}

  async #replace(error: LostWorker): Promise<void> {
    await this.#crew.replace(error);
    await this.#crew.surviving(() => lend(this.#crew));
  }
}

async function lend(crew: Crew): Promise<void> {
  const team = await crew.ready();
  await team.leave(crew.limit());
  await crew.state.lend();
  await team.startEvaluation(crew.limit());
}
