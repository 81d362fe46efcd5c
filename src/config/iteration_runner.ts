/** The public class: a run built from a plain object. */
import { selectBackend } from "../backend/select.ts";
import { CheckpointDirectory } from "../checkpoint/checkpoint.ts";
import { FileStore } from "../checkpoint/file_store.ts";
import { MemoryStore } from "../checkpoint/memory_store.ts";
import type { Store } from "../checkpoint/store.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { CheckpointError, ConfigError, show, suggest } from "../core/errors.ts";
import { hasFileSystem, pathModule, resolvePath, runtime } from "../core/host.ts";
import { randomStream } from "../core/random.ts";
import { isClass } from "../core/registry.ts";
import type { Dataset, DataSplits, IterableDataset } from "../data/dataset.ts";
import { dataOf } from "../data/form.ts";
import { DataLoader, type Loader, StreamLoader } from "../data/loader.ts";
import { buildData } from "../data/registry.ts";
import { buildLoss } from "../loss/registry.ts";
import { horizonMetrics } from "../metric/horizon.ts";
import type { Metric } from "../metric/metric.ts";
import { buildMetrics } from "../metric/registry.ts";
import { buildModel } from "../model/registry.ts";
import { buildOptimizer } from "../optim/builder.ts";
import { consoleOutput, type Output } from "../report/console.ts";
import {
  BaseIterationRunner,
  disposeModel,
  type RunParts,
} from "../runner/base_iteration_runner.ts";
import { Checkpoint } from "../runner/callbacks/checkpoint.ts";
import { ClipGradients } from "../runner/callbacks/clip_gradients.ts";
import { EarlyStopping } from "../runner/callbacks/early_stopping.ts";
import { JsonLines } from "../runner/callbacks/json_lines.ts";
import { ProgressBar } from "../runner/callbacks/progress_bar.ts";
import { buildCallbacks } from "../runner/callbacks/registry.ts";
import { TensorBoard } from "../runner/callbacks/tensorboard.ts";
import type { Callback } from "../runner/hooks.ts";
import { type Contents, contentsOf, type SavedData, savedData } from "../runner/contents.ts";
import type { EvaluationSettings, RunSettings } from "../runner/settings.ts";
import { buildScheduler } from "../schedule/builder.ts";
import { isPart } from "../schedule/scheduler.ts";
import { buildTask } from "../task/registry.ts";
import { checkFit, type FitParts } from "./check_fit.ts";
import { fingerprintOf, plainCopy, runName } from "./fingerprint.ts";
import { isStream, refuseDropped } from "./refusals.ts";
import { resolveConfig, type ResolvedConfig, type RunConfig } from "./schema.ts";
import { resolveScheduler } from "./scheduler_config.ts";

/** What a program may give beside the config. */
export interface CreateOptions {
  /** Module specifiers (absolute or `import.meta.resolve`d) that register components; imported first. */
  readonly imports?: readonly string[];
  /** Folder that data, model and weights paths of the config are relative to. Default: the working directory. */
  readonly baseDirectory?: string;
  /**
   * What the run is for. `"test"`: the gradient of the loss is not tried, which the backend may
   * lack. `"predict"`: the config's data are not read either; how inputs are read and scaled comes
   * with the weights of the run's directory. Default `"train"`: everything.
   */
  readonly purpose?: "train" | "test" | "predict";
  /** Where lines for people go. Default: the console. */
  readonly output?: Output;
  readonly clock?: Clock;
}

/**
 * A training run described by a plain object.
 *
 * @example Train a linear forecaster on a small matrix
 * ```ts
 * import { IterationRunner } from "downhill";
 * import "downhill/models";
 *
 * const values = Float32Array.from({ length: 400 }, (_, t) => Math.sin(t / 5));
 * const run = await IterationRunner.create({
 *   backend: "cpu",
 *   model: { type: "NLinear", params: { inputLength: 24, outputLength: 6, channels: 1 } },
 *   data: { type: "ForecastingArray", params: { values, channels: 1, inputLength: 24, outputLength: 6 } },
 *   optimizer: { type: "Adam", params: { lr: 0.01 } },
 *   train: { iterations: 20 },
 *   checkpoint: false,
 *   log: { progress: false },
 * });
 * const summary = await run.train();
 * console.assert(summary.iterations === 20);
 * run.dispose();
 * ```
 */
export class IterationRunner extends BaseIterationRunner {
  /**
   * Checks the config and builds model, data, optimizer and scheduler. Nothing is written before
   * `train()`; the config object is never changed.
   *
   * @throws {ConfigError} At the first fault, with path, rule and value.
   * @throws {DataError} If the data cannot be used.
   * @throws {CheckpointError} If `purpose` is `"predict"` and the directory has no weights.
   */
  static async create(config: RunConfig, options: CreateOptions = {}): Promise<IterationRunner> {
    const resolved = resolveConfig(config);
    const output = options.output ?? consoleOutput();
    for (const specifier of options.imports ?? []) await importModule(specifier);
    const parts = await buildParts(resolved, output, options);
    const runner = new IterationRunner(parts);
    try {
      // Without best weights, a run predicts with its newest ones.
      if (options.purpose === "predict" && await parts.checkpoints.best() === undefined) {
        await runner.restore();
      }
      return runner;
    } catch (error) {
      runner.dispose();
      throw error;
    }
  }
}

async function buildParts(
  config: ResolvedConfig,
  output: Output,
  options: CreateOptions,
): Promise<RunParts> {
  const baseDirectory = options.baseDirectory ?? (hasFileSystem ? pathModule().resolve(".") : "");
  const { purpose = "train" } = options;
  const { seed } = config;
  const fast = config.train.fastDevRun !== false;
  const persistent = config.checkpoint !== false && hasFileSystem && !fast;
  // What can be refused without a backend comes first.
  const user = await buildCallbacks(config.callbacks);
  const callbacks = withDefaults(user, config, persistent);
  const name = config.name ?? await runName(config);
  const directory = config.checkpoint === false ? "runs" : config.checkpoint.directory;
  const store = persistent
    ? new FileStore(pathModule().resolve(directory, name))
    : new MemoryStore();
  const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => output.line(line));
  const stored = purpose === "predict" ? await storedData(checkpoints, store) : undefined;
  const data = stored !== undefined ? dataOf(stored.contents.form) : await buildData(
    config.data as Parameters<typeof buildData>[0],
    { baseDirectory, seed },
  );
  const { type, params } = taskOf(config, data);
  const task = buildTask(type, { rescale: config.rescale, scaler: data.scaler }, params);
  refuseDropped(config, { callbacks: user, data, task });
  const { overfitBatches, shuffle = !isStream(data.train) && overfitBatches === undefined } =
    config.train;
  config = { ...config, train: { ...config.train, shuffle } };
  const loss = buildLoss((config.loss ?? task.defaults.loss) as never);
  const metrics = buildMetrics((config.metrics ?? task.defaults.metrics) as never);
  const horizons = config.test === false ? [] : config.test.horizons;
  const settings = settingsOf(config, metrics, callbacks);
  config = { ...config, scheduler: resolveScheduler(config, settings) };
  const loaders = loadersOf(config, settings, data, seed);
  if (stored === undefined) checkMonitors(callbacks, metrics, loaders);
  const schedulerMonitor = stored === undefined
    ? monitorOf(config.scheduler, metrics, loaders)
    : undefined;

  const backend = await selectBackend(config.backend, {
    deterministic: config.deterministic,
    log: (line) => output.line(line),
  });
  const parts = {
    settings: { ...settings, name, fineTune: fineTuneFrom(config.fineTune, baseDirectory) },
    fingerprint: { ...fingerprintOf(config), ...stored ?? { contents: contentsOf(data) } },
    resolvedConfig: plainCopy({ ...config, name }) as Record<string, unknown>,
    backend: backend.name,
    task,
    loss,
    metrics,
    horizonMetrics: horizonMetrics(metrics, horizons, "test.horizons")
      .flatMap(({ name, metrics }) =>
        metrics.map((metric) => ({ ...metric, name: `${name}/${metric.name}` }))
      ),
    data,
    loaders,
    schedulerMonitor,
    callbacks: persistent ? callbacks : callbacks.filter((it) => !(it instanceof Checkpoint)),
    store,
    checkpoints,
    persistent,
    output,
    clock: options.clock ?? systemClock,
  };
  return { ...parts, ...await buildTrained(config, parts, baseDirectory, purpose === "train") };
}

/** What the weights in a run's directory say of the data they were trained on. */
async function storedData(
  checkpoints: CheckpointDirectory,
  { location }: Store,
): Promise<SavedData & { contents: Contents }> {
  const found = await checkpoints.best() ?? await checkpoints.latest();
  if (found === undefined) {
    throw new CheckpointError(`${location} holds no checkpoint; train first`);
  }
  const { data, contents } = savedData(found.state.meta);
  if (contents === undefined) {
    throw new CheckpointError(`${location}: says nothing of the data it was trained on`);
  }
  return { data, contents };
}

function fineTuneFrom(
  fineTune: ResolvedConfig["fineTune"],
  baseDirectory: string,
): RunSettings["fineTune"] {
  return fineTune && { ...fineTune, path: resolvePath(baseDirectory, fineTune.path) };
}

/** Model, optimizer and scheduler; what was built is freed if a later one cannot be. */
async function buildTrained(
  config: ResolvedConfig,
  parts: Omit<FitParts, "model" | "name">,
  baseDirectory: string,
  training: boolean,
): Promise<Pick<RunParts, "model" | "optimizer" | "scheduler">> {
  const model = await buildModel(config.model as never, {
    random: randomStream(config.seed, "init"),
    baseDirectory,
  });
  let optimizer: RunParts["optimizer"] | undefined;
  try {
    const { type } = config.model;
    const name = typeof type === "string" ? type : isClass(type) ? type.name : "the model";
    optimizer = buildOptimizer(config.optimizer as never, model.parameters);
    const scheduler = config.scheduler === undefined
      ? undefined
      : buildScheduler(config.scheduler as never, optimizer);
    // A schedule with an end (OneCycleLR) refuses a longer run here, not hours later.
    if (scheduler !== undefined && isPart(scheduler)) {
      scheduler.lrAt(parts.settings.train.iterations);
    }
    await checkFit({ ...parts, model, name }, randomStream(config.seed, "fit"), training);
    return { model, optimizer, scheduler };
  } catch (error) {
    optimizer?.dispose();
    disposeModel(model);
    throw error;
  }
}

/** The config's task, else what the data is for. */
function taskOf(
  config: ResolvedConfig,
  data: DataSplits,
): { type: string; params: Record<string, unknown> } {
  const { task = data.task ?? "forecasting" } = config;
  if (typeof task === "string") return { type: task, params: {} };
  return { type: String(task.type), params: task.params };
}

/** The callbacks in their order: the user's, the shorthands', the reports, the checkpoints. */
function withDefaults(
  user: readonly Callback[],
  config: ResolvedConfig,
  persistent: boolean,
): Callback[] {
  const has = (name: string): boolean => user.some((callback) => callback.name === name);
  const { train, earlyStopping, checkpoint } = config;
  const more: Callback[] = [];
  const shorthand = (path: string, name: string, callback: () => Callback): void => {
    if (has(name)) {
      throw new ConfigError(
        path,
        `is shorthand for the callback ${name}, which callbacks has too; give one of them`,
      );
    }
    more.push(callback());
  };
  if (train.clipGrad !== undefined) {
    shorthand("train.clipGrad", "ClipGradients", () => new ClipGradients(train.clipGrad));
  }
  if (earlyStopping !== undefined) {
    shorthand("earlyStopping", "EarlyStopping", () => new EarlyStopping(earlyStopping));
  }
  if (persistent && !has("JsonLines")) more.push(new JsonLines());
  if (persistent && config.log.tensorboard && !has("TensorBoard")) more.push(new TensorBoard());
  if (config.log.progress && !has("ProgressBar")) more.push(new ProgressBar());
  const own = user.find((callback) => callback instanceof Checkpoint);
  const { directory: _, resume: __, ...params } = checkpoint || {};
  if (own === undefined) more.push(new Checkpoint(params));
  else if (Object.values(params).some((value) => value !== undefined)) {
    shorthand("checkpoint", "Checkpoint", () => own);
  }
  return [...user.filter((callback) => callback !== own), ...more, ...(own ? [own] : [])];
}

function settingsOf(
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
    fineTune: config.fineTune,
  };
}

/** The monitored value, which must be measured, and whether larger is better (the metric knows). */
function bestOf(best: ResolvedConfig["best"], metrics: readonly Metric[]): RunSettings["best"] {
  const metric = monitored(best.monitor, metrics, "best.monitor");
  const inferred = metrics.find(({ name }) => name === metric)?.higherIsBetter === true
    ? "max"
    : "min";
  return { monitor: `val/${metric}`, mode: best.mode ?? inferred };
}

function monitorOf(
  scheduler: ResolvedConfig["scheduler"],
  metrics: readonly Metric[],
  loaders: RunParts["loaders"],
): string | undefined {
  if (scheduler?.monitor === undefined) return undefined;
  needsValidation("scheduler.monitor", loaders);
  return monitored(String(scheduler.monitor), metrics, "scheduler.monitor");
}

/** Early stopping must follow a value that is measured. */
function checkMonitors(
  callbacks: readonly Callback[],
  metrics: readonly Metric[],
  loaders: RunParts["loaders"],
): void {
  for (const callback of callbacks) {
    if (!(callback instanceof EarlyStopping)) continue;
    needsValidation(callback.path, loaders);
    const { monitor, path } = callback;
    if (monitor !== undefined) monitored(monitor, metrics, `${path}.monitor`);
  }
}

function needsValidation(path: string, { validation }: RunParts["loaders"]): void {
  if (validation !== undefined) return;
  throw new ConfigError(path, "needs validation, which is false or has no data");
}

function monitored(monitor: string, metrics: readonly Metric[], path: string): string {
  const name = monitor.replace(/^val\//, "");
  const known = ["loss", ...metrics.map((metric) => metric.name)];
  if (!known.includes(name)) {
    throw new ConfigError(path, `unknown validation value ${show(monitor)}${suggest(name, known)}`);
  }
  return name;
}

function loadersOf(
  config: ResolvedConfig,
  settings: RunSettings,
  data: DataSplits,
  seed: number,
): RunParts["loaders"] {
  const { train, validation, test } = config;
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
  dataset: Dataset | IterableDataset | undefined,
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
  return { length: Math.min(length, rows), gather: (indices) => dataset.gather(indices) };
}

/** Imports a module that registers components. */
export async function importModule(specifier: string): Promise<void> {
  try {
    await import(specifier);
  } catch (error) {
    if (
      runtime === "node" && /\.[cm]?ts$/.test(specifier) &&
      /Unknown file extension|ERR_UNKNOWN_FILE_EXTENSION|Unexpected token|strip/i.test(
        String(error),
      )
    ) {
      throw new ConfigError(
        "imports",
        `this runtime cannot import TypeScript (${specifier}); compile it to JavaScript first, or use Deno or Bun`,
      );
    }
    throw new ConfigError(
      "imports",
      `cannot import ${specifier}: ${(error as Error).message.split("\n")[0]}`,
    );
  }
}
