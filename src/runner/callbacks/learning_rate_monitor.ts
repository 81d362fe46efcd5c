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

  setup(): void {
    this.#rates = [];
  }

  /** The rates about to be used. */
  iterationStart(run: RunView): void {
    this.#rates = run.optimizer.paramGroups.map((group) => group.lr);
  }

  values(phase: Phase, values: Values): Values {
    if (phase !== "train") return values;
    const rates = this.#rates.map((lr, i) => [`lr/group${i}`, lr]);
    return { ...values, ...Object.fromEntries(rates) };
  }
}
