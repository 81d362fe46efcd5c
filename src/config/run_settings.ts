/** What the loop is told of a config. */
import type { Metric } from "../metric/metric.ts";
import { Checkpoint } from "../runner/callbacks/checkpoint.ts";
import type { Callback } from "../runner/hooks.ts";
import type { EvaluationSettings, RunSettings } from "../runner/settings.ts";
import { bestOf } from "./monitors.ts";
import type { ResolvedConfig } from "./schema.ts";

/** What an error may recommend to change before the run goes on. */
const ALWAYS_ALLOWED = ["train.nonFinite"];

/** The settings of a run whose metrics and callbacks are built; its name is not known yet. */
export function settingsOf(
  config: ResolvedConfig,
  metrics: readonly Metric[],
  callbacks: readonly Callback[],
): RunSettings {
  const { train, validation, test, best, checkpoint } = config;
  const fast = train.fastDevRun === false ? undefined : Number(train.fastDevRun);
  const iterations = fast ?? train.iterations;
  const evaluation = (
    part: false | { batchSize?: number; limitBatches?: number },
  ): EvaluationSettings => ({
    batchSize: (part === false ? undefined : part.batchSize) ?? train.batchSize,
    limitBatches: fast ?? ((part === false ? undefined : part.limitBatches) ?? Infinity),
  });
  const tenth = Math.max(1, Math.floor(iterations / 10));
  const kept = callbacks.find((callback) => callback instanceof Checkpoint) as Checkpoint;
  return {
    name: "",
    seed: config.seed,
    shards: config.shards,
    rescale: config.rescale,
    train: {
      iterations,
      batchSize: train.batchSize,
      accumulate: train.accumulate,
      nonFinite: train.nonFinite,
      maxTime: train.maxTime ?? Infinity,
      metrics: train.metrics,
    },
    log: { interval: config.log.interval },
    validation: {
      ...evaluation(validation),
      interval: fast ?? ((validation === false ? undefined : validation.interval) ?? tenth),
      sanity: validation === false ? 0 : validation.sanity,
    },
    test: {
      ...evaluation(test),
      interval: (test === false ? undefined : test.interval) ?? Infinity,
      horizons: test === false ? [] : test.horizons,
      savePredictions: test !== false && test.savePredictions,
    },
    best: bestOf(best, metrics),
    higherIsBetter: metrics.filter((metric) => metric.higherIsBetter).map(({ name }) => name),
    keep: kept.rule,
    resume: checkpoint === false ? "never" : checkpoint.resume,
    onError: (checkpoint || {}).onError ?? "stop",
    allowChanged: [...ALWAYS_ALLOWED, ...(checkpoint || {}).allowChanged ?? []],
    fineTune: config.fineTune,
  };
}
