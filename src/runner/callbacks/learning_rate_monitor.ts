/** Logs the learning rate of every parameter group. */
import { object, parseOptions, type z } from "../../core/options.ts";
import type { Callback, Phase, Values } from "../hooks.ts";
import type { RunView } from "../run_view.ts";

/** Options of {@link LearningRateMonitor}: none. */
export const learningRateMonitorOptions: z.ZodObject = object({});

/** Adds `lr/group0`, `lr/group1`, ... to training records; with one group `lr` says it all. */
export class LearningRateMonitor implements Callback {
  readonly name = "LearningRateMonitor";
  #rates: number[] = [];

  constructor(params: Record<string, unknown> = {}, path = "callbacks.LearningRateMonitor") {
    parseOptions(learningRateMonitorOptions, params, path, "LearningRateMonitor");
  }

  /** The rates about to be used. */
  iterationStart(run: RunView): void {
    this.#rates = run.optimizer.paramGroups.map((group) => group.lr);
  }

  log(phase: Phase, _iteration: number, values: Values): void {
    if (phase === "train") this.#rates.forEach((lr, i) => values[`lr/group${i}`] = lr);
  }
}
