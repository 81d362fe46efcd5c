/** Stops when a validation value has not improved for a number of validations. */
import {
  atLeast,
  integer,
  number,
  object,
  oneOf,
  parseOptions,
  text,
  type z,
} from "../../core/options.ts";
import type { Callback, CallbackState, Values } from "../hooks.ts";
import type { RunView } from "../run_view.ts";

/** Options of {@link EarlyStopping}. */
export const earlyStoppingOptions: z.ZodObject = object({
  monitor: text().optional(),
  mode: oneOf(["min", "max"]).optional(),
  patience: integer(1).default(10),
  min_delta: atLeast(0).default(0),
  stopping_threshold: number().optional(),
  divergence_threshold: number().optional(),
});

interface Options {
  monitor?: string;
  mode?: "min" | "max";
  patience: number;
  min_delta: number;
  stopping_threshold?: number;
  divergence_threshold?: number;
}

/**
 * After each validation: better than the best so far by more than `min_delta` resets the count,
 * anything else (NaN too) adds one; at `patience` the run ends as `early-stopping`.
 *
 * `monitor` and `mode` default to the run's `best`; for another `monitor`, `mode` is what its metric
 * says. `stopping_threshold`: end as soon as the value
 * is at least that good; `divergence_threshold`: end as soon as it is that bad. Count and best are
 * saved in checkpoints.
 */
export class EarlyStopping implements Callback {
  readonly name = "EarlyStopping";
  /** The value that is followed; the run's `best.monitor` where it is left out. */
  readonly monitor: string | undefined;
  /** Where the options stand in the config. */
  readonly path: string;
  readonly #options: Options;
  #best: number | undefined;
  #bad = 0;

  constructor(params: Record<string, unknown> = {}, path = "earlyStopping") {
    this.#options = parseOptions(
      earlyStoppingOptions,
      params,
      path,
      "EarlyStopping",
    ) as unknown as Options;
    this.monitor = this.#options.monitor;
    this.path = path;
  }

  /** A run begins afresh, also with a callback that has been in another. */
  setup(): void {
    this.#best = undefined;
    this.#bad = 0;
  }

  validationEnd(values: Values, run: RunView): void {
    const { patience, min_delta, stopping_threshold, divergence_threshold } = this.#options;
    const { best, higherIsBetter } = run.settings;
    const monitor = (this.monitor ?? best.monitor).replace(/^val\//, "");
    const inferred = `val/${monitor}` === best.monitor
      ? best.mode
      : higherIsBetter.includes(monitor)
      ? "max"
      : "min";
    const sign = (this.#options.mode ?? inferred) === "min" ? 1 : -1;
    const value = values[monitor];
    if (this.#best === undefined ? !Number.isNaN(value) : sign * (this.#best - value) > min_delta) {
      this.#best = value;
      this.#bad = 0;
    } else {
      this.#bad++;
    }
    const reached = stopping_threshold !== undefined && sign * (value - stopping_threshold) <= 0;
    const diverged = divergence_threshold !== undefined &&
      sign * (value - divergence_threshold) >= 0;
    if (this.#bad < patience && !reached && !diverged) return;
    run.output.line(
      reached
        ? `stopping: val/${monitor} ${value} reached ${stopping_threshold}`
        : diverged
        ? `stopping: val/${monitor} ${value} passed ${divergence_threshold}`
        : `stopping: val/${monitor} has not improved on ${this.#best} in ${this.#bad} validations`,
    );
    run.stop("early-stopping");
  }

  state(): CallbackState {
    return { meta: { best: this.#best ?? null, bad: this.#bad } };
  }

  load({ meta }: { meta: Record<string, unknown> }): void {
    this.#best = (meta.best as number | null) ?? undefined;
    this.#bad = meta.bad as number;
  }
}
