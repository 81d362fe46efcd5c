/** What a run evaluates, and with which weights. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { ConfigError } from "../core/errors.ts";
import { type RandomStream, randomStream } from "../core/random.ts";
import { type BestWeightsOptions, withBestWeights } from "./best_weights.ts";
import type { RunContext } from "./context.ts";
import { evaluate, evaluateForecast, type EvaluationParts } from "./evaluate.ts";
import type { Values } from "./hooks.ts";
import { PredictionCollector } from "./predictions.ts";
import type { Summary } from "./state.ts";

/** The evaluations of a run. Their random numbers are their own. */
export class Evaluations {
  readonly #context: RunContext;
  readonly #parts: EvaluationParts;

  constructor(context: RunContext) {
    const { parts: { model, task, loss, metrics, data, settings }, breath } = context;
    this.#context = context;
    this.#parts = {
      model,
      task,
      loss,
      metrics,
      inputScaler: settings.rescale ? data.inputScaler ?? data.scaler : undefined,
      breathe: () => breath.takeOrBreakOff(),
    };
  }

  /**
   * Loss and metrics of a part, with the weights that evaluation should see.
   *
   * @param look Called with the values while the model still holds these weights.
   */
  async present(
    split: "validation" | "test",
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
    return await this.withBest(() => this.#split("test", save));
  }

  /** A few validation batches before the first iteration, so that a fault shows early. */
  async sanityCheck(): Promise<void> {
    const { parts: { loaders: { validation }, settings }, state } = this.#context;
    const batches = Math.min(settings.validation.sanity, validation?.batchesPerEpoch ?? 0);
    if (validation === undefined || batches === 0 || state.iteration > 0) return;
    await this.withAverages(() =>
      evaluate(this.#parts, validation, this.#random("validation"), undefined, batches)
    );
  }

  /** The metrics of the forecasts that need no model; other tasks do not compare with `targets`. */
  async naive(): Promise<Summary["naive"]> {
    const { task, metrics, loaders, data: { naive = {} } } = this.#context.parts;
    const names = Object.keys(naive);
    if (task.name !== "forecasting" || names.length === 0 || metrics.length === 0) return undefined;
    const out: NonNullable<Summary["naive"]> = {};
    for (const name of names) {
      const forecast = (indices: ArrayLike<number>) => naive[name]("test", indices);
      out[name] = await evaluateForecast(
        this.#parts,
        loaders.test!,
        forecast,
        this.#random("test"),
      );
    }
    return out;
  }

  /** Runs `work` with the weights that evaluation should see (averages of EMA and the like). */
  async withAverages<T>(work: () => Promise<T>): Promise<T> {
    const { run, parts: { optimizer }, hooks } = this.#context;
    optimizer.eval();
    try {
      await hooks.emit("evaluationStart", run);
      return await work();
    } finally {
      await hooks.emit("evaluationEnd", run);
      optimizer.train();
    }
  }

  /** Runs `work` with the best weights, which are averages already, if the run has any. */
  async withBest<T>(
    work: (best?: Checkpoint) => Promise<T>,
    options?: BestWeightsOptions,
  ): Promise<T> {
    const otherwise = () => this.withAverages(work);
    return await withBestWeights(this.#context, work, otherwise, options);
  }

  async #split(split: "validation" | "test", save = false): Promise<Values> {
    const { loaders, metrics, horizonMetrics, persistent, store } = this.#context.parts;
    const loader = loaders[split];
    if (loader === undefined) throw new ConfigError("data", `has no ${split} part`);
    const collector = save && persistent ? new PredictionCollector() : undefined;
    const values = await evaluate(
      {
        ...this.#parts,
        metrics: split === "test" ? [...metrics, ...horizonMetrics] : metrics,
      },
      loader,
      this.#random(split),
      collector && ((batch) => collector.add(batch)),
    );
    if (collector !== undefined) await store.write("predictions.safetensors", collector.encode());
    return values;
  }

  #random(what: string): RandomStream {
    return randomStream(this.#context.parts.settings.seed, what);
  }
}
