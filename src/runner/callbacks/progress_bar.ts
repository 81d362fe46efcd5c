/** Shows how far training is. */
import { object, parseOptions, type z } from "../../core/options.ts";
import { formatValues } from "../../report/format.ts";
import { ProgressBar as Bar } from "../../report/progress_bar.ts";
import type { Callback, Phase, Values } from "../hooks.ts";
import type { RunView } from "../run_view.ts";

/** Options of {@link ProgressBar}: none. */
export const progressBarOptions: z.ZodObject = object({});

/** A bar on a terminal, sparse plain lines elsewhere; a line for every validation and test. */
export class ProgressBar implements Callback {
  readonly name = "ProgressBar";
  #bar: Bar | undefined;

  constructor(params: Record<string, unknown> = {}, path = "callbacks.ProgressBar") {
    parseOptions(progressBarOptions, params, path, "ProgressBar");
  }

  setup(): void {
    this.#bar = undefined;
  }

  trainStart(run: RunView): void {
    if (run.state.finished !== undefined) return;
    this.#bar = new Bar(run.output, {
      total: run.settings.train.iterations,
      start: run.state.iteration,
      label: run.settings.name,
    });
  }

  iterationEnd(run: RunView): void {
    this.#bar?.update(run.state.iteration, {
      loss: run.lastLoss,
      ...(run.timing.samplesPerSecond === 0
        ? {}
        : { "samples/s": Math.round(run.timing.samplesPerSecond) }),
    });
  }

  log(phase: Phase, iteration: number, values: Values, run: RunView): void {
    if (phase === "train") return;
    const best = phase === "val" && run.state.best?.iteration === iteration ? "  (best)" : "";
    run.output.line(`${phase} ${iteration}: ${formatValues(values)}${best}`);
  }

  trainEnd(): void {
    this.#bar?.finish();
    this.#bar = undefined;
  }

  exception(): void {
    this.#bar?.clear();
    this.#bar = undefined;
  }
}
