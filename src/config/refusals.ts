/** Settings that a run would drop without a word; here is known what was built of the config. */
import { ConfigError } from "../core/errors.ts";
import { camel, join } from "../core/options.ts";
import type { DataSplits } from "../data/dataset.ts";
import { ForecastingSplits } from "../data/forecasting_splits.ts";
import { Checkpoint } from "../runner/callbacks/checkpoint.ts";
import type { Callback } from "../runner/hooks.ts";
import type { RunParts } from "../runner/parts.ts";
import type { Task } from "../task/task.ts";
import { needsValidation } from "./monitors.ts";
import type { ResolvedConfig, RunConfig } from "./schema.ts";

/** What they are compared with. */
export interface BuiltParts {
  /** In the order of `config.callbacks`. */
  readonly callbacks: readonly Callback[];
  readonly data: DataSplits;
  readonly task: Task;
}

/** @throws {ConfigError} At the first setting that would have no effect. */
export function refuseDropped(config: ResolvedConfig, { callbacks, data, task }: BuiltParts): void {
  const { train, checkpoint, rescale, test } = config;
  const fast = train.fastDevRun !== false;
  if (fast && checkpoint !== false && checkpoint.resume === "required") {
    throw new ConfigError(
      "checkpoint.resume",
      'must not be "required" with train.fastDevRun, which neither reads nor writes a run directory',
    );
  }
  if (checkpoint === false && typeof train.nonFinite === "object") {
    throw new ConfigError(
      "train.nonFinite",
      "must not be a rollback without checkpoints, but checkpoint is false",
    );
  }
  if (checkpoint === false && test !== false && test.savePredictions) {
    throw new ConfigError("test.savePredictions", "needs a run directory, but checkpoint is false");
  }
  if (fast && test !== false && test.savePredictions) {
    throw new ConfigError(
      "test.savePredictions",
      "must not be true with train.fastDevRun, which writes nothing",
    );
  }
  if (train.shuffle === true && (isStream(data.train) || train.overfitBatches !== undefined)) {
    const what = isStream(data.train) ? "a stream, which has" : "train.overfitBatches, which keeps";
    throw new ConfigError("train.shuffle", `must not be true for ${what} an order of its own`);
  }
  if (rescale && task.name === "classification") {
    throw new ConfigError("rescale", "must not be true for classification: labels have no units");
  }
  if (rescale && data.scaler === undefined) {
    throw new ConfigError("rescale", "must not be true for data without a scaler");
  }
  if (task.name === "imputation" && data instanceof ForecastingSplits) {
    const key = Object.keys(config.data.params).find((key) => camel(key) === "targetColumns");
    if (key !== undefined) {
      throw new ConfigError(
        `data.params.${key}`,
        "must be left out for imputation, which fills in every column",
      );
    }
  }
  callbacks.forEach((callback, i) => refuseCallback(callback, `callbacks[${i}]`, checkpoint));
}

/** @throws {ConfigError} At the first setting in `written` of a part that the run does not have. */
export function refuseWithoutPart(written: RunConfig, loaders: RunParts["loaders"]): void {
  for (const [name, section] of Object.entries(written)) {
    if (camel(name) === "best" && section !== undefined) needsValidation(name, loaders);
    const part = camel(name);
    if ((part !== "validation" && part !== "test") || loaders[part] !== undefined) continue;
    // The rows of a test batch are those that `predict` sees at once.
    const key = Object.keys(section || {}).find((key) =>
      section[key] !== undefined && !(part === "test" && camel(key) === "batchSize")
    );
    if (key === undefined) continue;
    throw new ConfigError(join(name, key), `must be left out: the data have no ${part} part`);
  }
}

function refuseCallback(
  callback: Callback,
  path: string,
  checkpoint: ResolvedConfig["checkpoint"],
): void {
  if (checkpoint === false && callback instanceof Checkpoint) {
    throw new ConfigError(path, "Checkpoint needs a run directory, but checkpoint is false");
  }
  // It takes the place of `gradients` on WebGPU, and only where every callback has both.
  if (callback.deviceGradients !== undefined && callback.gradients === undefined) {
    throw new ConfigError(
      path,
      `${callback.name} has deviceGradients, which is not called on every backend, without gradients; give it both`,
    );
  }
}

/** Whether samples come in order and cannot be reached by index. */
export function isStream(part: DataSplits["train"]): boolean {
  return part !== undefined && !("gather" in part);
}
