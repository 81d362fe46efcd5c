/** The loaders of a run's parts. */
import { ConfigError, DataError } from "../core/errors.ts";
import type { Dataset, DataSplits } from "../data/dataset.ts";
import { DataLoader, type Loader, StreamLoader } from "../data/loader.ts";
import type { RunParts } from "../runner/parts.ts";
import type { EvaluationSettings, RunSettings } from "../runner/settings.ts";
import type { ResolvedConfig } from "./schema.ts";

/** One loader for each part that the run uses. */
export function loadersOf(
  config: ResolvedConfig,
  settings: RunSettings,
  data: DataSplits,
  seed: number,
): RunParts["loaders"] {
  const { train, validation, test } = config;
  for (const part of ["train", "validation", "test"] as const) {
    const dataset = data[part];
    if (dataset !== undefined && "gather" in dataset && dataset.length === 0) {
      throw new DataError(`data: ${part} must have at least one sample, received none`);
    }
  }
  const evaluationLoader = (
    dataset: Dataset | undefined,
    { batchSize, limitBatches }: EvaluationSettings,
  ) =>
    dataset === undefined ? undefined : new DataLoader(dataset, {
      batchSize,
      ...(limitBatches === Infinity ? {} : { limitBatches }),
    });
  const overfit = train.overfitBatches;
  return {
    train: trainLoader(config, data.train, seed),
    validation: validation === false
      ? undefined
      : overfit === undefined
      ? evaluationLoader(data.validation, settings.validation)
      : evaluationLoader(
        firstOf(data.train, overfit * train.batchSize * train.accumulate),
        settings.validation,
      ),
    test: test === false ? undefined : evaluationLoader(data.test, settings.test),
  };
}

/** An iteration takes `batchSize * accumulate` samples; the loop cuts them into micro-batches. */
function trainLoader(
  config: ResolvedConfig,
  dataset: DataSplits["train"],
  seed: number,
): Loader | undefined {
  if (dataset === undefined) return undefined;
  const { batchSize, accumulate, shuffle, dropLast, limitBatches, overfitBatches } = config.train;
  const common = { batchSize: batchSize * accumulate, dropLast, infinite: true, seed };
  if (!("gather" in dataset)) {
    if (overfitBatches !== undefined || limitBatches !== undefined) {
      throw new ConfigError(
        overfitBatches === undefined ? "train.limitBatches" : "train.overfitBatches",
        "needs data with a length, received a stream",
      );
    }
    return new StreamLoader(dataset, common);
  }
  if (dropLast && dataset.length < common.batchSize) {
    throw new ConfigError(
      "train.dropLast",
      `leaves no batch: there are ${dataset.length} training samples, an iteration takes ` +
        `${common.batchSize}, batchSize * accumulate`,
    );
  }
  const limit = overfitBatches ?? limitBatches;
  return new DataLoader(dataset, {
    ...common,
    shuffle,
    ...(limit === undefined ? {} : { limitBatches: limit }),
  });
}

/** The first `rows` samples; there is no part of a stream, which is refused elsewhere. */
function firstOf(dataset: DataSplits["train"], rows: number): Dataset | undefined {
  if (dataset === undefined || !("gather" in dataset)) return undefined;
  const { length } = dataset;
  return { length: Math.min(length, rows), gather: (...args) => dataset.gather(...args) };
}
