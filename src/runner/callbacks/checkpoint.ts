/** Writes checkpoints at a cadence and keeps the newest. */
import { integer, list, object, parseOptions, type z } from "../../core/options.ts";
import type { KeepPolicy } from "../../checkpoint/checkpoint.ts";
import type { Callback } from "../hooks.ts";
import type { RunView } from "../run_view.ts";

/** Options of {@link Checkpoint}. */
export const checkpointOptions: z.ZodObject = object({
  interval: integer(1).optional(),
  keep: integer(1).nullable().default(3),
  every: integer(1).optional(),
  at: list(integer(1)).optional(),
});

/**
 * Saves every `interval` iterations (default: at every validation) and at the end.
 *
 * The newest `keep` stay (null: all), further every `every`-th iteration and those listed in `at`;
 * the best weights are kept apart from these.
 */
export class Checkpoint implements Callback {
  readonly name = "Checkpoint";
  readonly rule: KeepPolicy;
  readonly #interval: number | undefined;

  constructor(params: Record<string, unknown> = {}, path = "checkpoint") {
    const { interval, ...rule } = parseOptions(checkpointOptions, params, path, "Checkpoint");
    this.#interval = interval as number | undefined;
    this.rule = rule as unknown as KeepPolicy;
  }

  async iterationEnd(run: RunView): Promise<void> {
    const interval = this.#interval ?? run.settings.validation.interval;
    const { iteration } = run.state;
    // The last iteration is saved by the loop itself, with the reason it ended.
    if (iteration % interval === 0 && iteration < run.settings.train.iterations) {
      await run.saveAtCadence();
    }
  }
}
