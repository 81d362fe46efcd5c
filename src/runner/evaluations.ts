/** What a run evaluates, and with which weights. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { ConfigError } from "../core/errors.ts";
import { type BestWeightsOptions, withBestWeights } from "./best_weights.ts";
import { type RunContext, withTrainingAside } from "./context.ts";
import type { Split } from "./engine.ts";
import {
  evaluate,
  evaluatedParts,
  evaluateForecast,
  evaluationRandom,
  localLanes,
} from "./evaluate.ts";
import type { Values } from "./record.ts";
import type { RunParts } from "./parts.ts";
import { PredictionCollector } from "./predictions.ts";
import type { Summary } from "./state.ts";

/** The evaluations of a run. Their random numbers are their own. */
export class Evaluations {
  readonly #context: RunContext;
  readonly #breathe: () => Promise<void>;

  constructor(context: RunContext) {
    this.#context = context;
    this.#breathe = () => context.breath.takeOrBreakOff();
  }

  /**
   * Loss and metrics of a part, with the weights that evaluation should see.
   *
   * @param look Called with the values while the model still holds these weights.
   */
  async present(
    split: Split,
    look: (values: Values) => Promise<void> = async () => {},
  ): Promise<Values> {
    return await this.withAverages(async () => {
      const values = await this.#split(split);
      await look(values);
      return values;
    });
  }

  /** Loss and metrics of the test part, with the best weights; `predictions` are saved if asked for. */
  async finalTest(): Promise<Values> {
    const save = this.#context.parts.settings.test.savePredictions;
    return await this.withBest(() => this.#split("test", { save }));
  }

  /** A few validation batches before the first iteration, so that a fault shows early. */
  async sanityCheck(): Promise<void> {
    const { parts: { loaders: { validation }, settings }, state } = this.#context;
    const batches = Math.min(settings.validation.sanity, validation?.batchesPerEpoch ?? 0);
    if (validation === undefined || batches === 0 || state.iteration > 0) return;
    await this.withAverages(() => this.#split("validation", { batches }));
  }

  /** The metrics of the forecasts that need no model; other tasks do not compare with `targets`. */
  async naive(): Promise<Summary["naive"]> {
    const { task, metrics, loaders, data: { naive = {} }, settings } = this.#context.parts;
    const names = Object.keys(naive);
    if (task.name !== "forecasting" || names.length === 0 || metrics.length === 0) return undefined;
    const out: NonNullable<Summary["naive"]> = {};
    for (const name of names) {
      const forecast = (indices: ArrayLike<number>) => naive[name]("test", indices);
      out[name] = await evaluateForecast(
        { task, metrics },
        loaders.test!,
        forecast,
        evaluationRandom(settings.seed, "test"),
        this.#breathe,
      );
    }
    return out;
  }

  /** Runs `work` with the weights that evaluation should see (averages of EMA and the like). */
  async withAverages<T>(work: () => Promise<T>): Promise<T> {
    const { run, parts: { optimizer }, hooks, engine } = this.#context;
    engine.pull();
    return await withTrainingAside(this.#context, async () => {
      optimizer.eval();
      try {
        await hooks.emit("evaluationStart", run);
        return await work();
      } finally {
        await hooks.emitEvaluationEnd(run).finally(() => optimizer.train());
      }
    });
  }

  /** Runs `work` with the best weights, which are averages already, if the run has any. */
  async withBest<T>(
    work: (best?: Checkpoint) => Promise<T>,
    options?: BestWeightsOptions,
  ): Promise<T> {
    this.#context.engine.pull();
    const otherwise = () => this.withAverages(work);
    return await withBestWeights(this.#context, work, otherwise, options);
  }

  async #split(
    split: Split,
    { save = false, batches }: { save?: boolean; batches?: number } = {},
  ): Promise<Values> {
    const { parts, engine } = this.#context;
    const { loaders, persistent, store, settings } = parts;
    const loader = loaders[split];
    if (loader === undefined) throw new ConfigError("data", `has no ${split} part`);
    const evaluated = evaluatedParts(parts, split);
    // Predictions are computed here: they are more than sums.
    const collector = save && persistent ? new PredictionCollector() : undefined;
    const lanes = collector === undefined ? await engine.evaluation(split) : localLanes(
      evaluated,
      evaluationRandom(settings.seed, split),
      (batch) => collector.add(batch),
    );
    const values = await evaluate(evaluated.metrics, loader, lanes, this.#breathe, batches);
    if (collector !== undefined) await store.write("predictions.safetensors", collector.encode());
    return values;
  }
}

/** Whether iteration `i` is followed by a test. */
export function isTested({ settings, loaders }: RunParts, i: number): boolean {
  return i > 0 && i % settings.test.interval === 0 && loaders.test !== undefined;
}
