/** What a run is made of. */
import type { CheckpointDirectory } from "../checkpoint/checkpoint.ts";
import type { Store } from "../checkpoint/store.ts";
import type { Clock } from "../core/clock.ts";
import { ConfigError } from "../core/errors.ts";
import type { DataSplits } from "../data/dataset.ts";
import type { DataLoader, Loader } from "../data/loader.ts";
import type { Loss } from "../loss/loss.ts";
import type { Metric } from "../metric/metric.ts";
import type { Model } from "../model/model.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Output } from "../report/console.ts";
import type { Scheduler } from "../schedule/scheduler.ts";
import type { Task } from "../task/task.ts";
import * as tf from "../tensor/tf.ts";
import type { Engine } from "./engine.ts";
import type { Callback } from "./hooks.ts";
import type { RunSettings } from "./settings.ts";
import { modelTensors } from "./snapshot.ts";

/** The built components of a run. */
export interface RunParts {
  readonly settings: RunSettings;
  /** What a resumed run must share with the one that wrote the checkpoint. */
  readonly fingerprint: Record<string, unknown>;
  /** The whole config with defaults, for `config.json`. */
  readonly resolvedConfig: Record<string, unknown>;
  readonly backend: string;
  /** What the last digits of results depend on beside the config: backend, runtime, fused math. */
  readonly numeric: Record<string, unknown>;
  readonly model: Model;
  readonly task: Task;
  readonly loss: Loss;
  readonly metrics: readonly Metric[];
  /** Metrics of single time steps, added in tests. */
  readonly horizonMetrics: readonly Metric[];
  readonly data: DataSplits;
  readonly loaders: {
    readonly train?: Loader;
    readonly validation?: DataLoader;
    readonly test?: DataLoader;
  };
  readonly optimizer: Optimizer;
  /** What computes; by default this process. */
  readonly engine?: Engine;
  readonly scheduler: Scheduler | undefined;
  /** The validation value a scheduler follows; it then steps after validations. */
  readonly schedulerMonitor: string | undefined;
  readonly callbacks: readonly Callback[];
  readonly store: Store;
  readonly checkpoints: CheckpointDirectory;
  /** False: nothing is written beyond the process. */
  readonly persistent: boolean;
  readonly output: Output;
  readonly clock: Clock;
}

/**
 * Refuses an optimizer that asks for one loss again and again (LBFGS), in process as in workers.
 *
 * @throws {ConfigError} If it is one.
 */
export function refuseManySteps(optimizer: Optimizer, name = "the optimizer"): void {
  if (!optimizer.needsClosure || optimizer.perturbs) return;
  throw new ConfigError(
    "optimizer.type",
    `${name} needs step(closure) and one loss for many steps, which a run over batches does not ` +
      "have, with workers or without",
  );
}

/** Frees a model by its own means, or its variables. */
export function disposeModel(model: Model): void {
  if (model.dispose !== undefined) model.dispose();
  else tf.dispose(Object.values(modelTensors(model)));
}
