/** A checked config -> the parts of a run. */
import { selectBackend, type SelectedBackend } from "../backend/select.ts";
import { CheckpointDirectory } from "../checkpoint/checkpoint.ts";
import { FileStore } from "../checkpoint/file_store.ts";
import { MemoryStore } from "../checkpoint/memory_store.ts";
import type { Store } from "../checkpoint/store.ts";
import { systemClock } from "../core/clock.ts";
import { CheckpointError } from "../core/errors.ts";
import { hasFileSystem, pathModule, resolvePath, runtime } from "../core/host.ts";
import { randomStream } from "../core/random.ts";
import { isClass } from "../core/registry.ts";
import type { DataSplits } from "../data/dataset.ts";
import { dataOf } from "../data/data_form.ts";
import { buildData } from "../data/registry.ts";
import { buildLoss } from "../loss/registry.ts";
import { stepMetrics } from "../metric/horizon.ts";
import { buildMetrics } from "../metric/registry.ts";
import { buildModel } from "../model/registry.ts";
import { buildOptimizer } from "../optim/builder.ts";
import type { Output } from "../report/console.ts";
import { Checkpoint } from "../runner/callbacks/checkpoint.ts";
import { buildCallbacks } from "../runner/callbacks/registry.ts";
import { type Contents, contentsOf, type SavedData, savedData } from "../runner/contents.ts";
import { disposeModel, refuseManySteps, type RunParts } from "../runner/parts.ts";
import type { RunSettings } from "../runner/settings.ts";
import { buildScheduler } from "../schedule/builder.ts";
import { isPart } from "../schedule/scheduler.ts";
import { buildTask } from "../task/registry.ts";
import { checkFit, type FitParts } from "./check_fit.ts";
import { withDefaults } from "./default_callbacks.ts";
import { fingerprintOf, plainCopy, runName } from "./fingerprint.ts";
import type { CreateOptions } from "./create_options.ts";
import { loadersOf } from "./loaders.ts";
import { checkMonitors, monitorOf } from "./monitors.ts";
import { isStream, refuseDropped, refuseWithoutPart } from "./refusals.ts";
import { settingsOf } from "./run_settings.ts";
import { withSavedShards } from "./saved_shards.ts";
import { resolveScheduler } from "./scheduler_config.ts";
import type { ResolvedConfig, RunConfig } from "./schema.ts";
import { nameOf, workerEngine, workersOf } from "./workers.ts";

/**
 * Builds everything; nothing is written.
 *
 * @param written The config before its defaults.
 * @throws {ConfigError} At the first fault. What can be refused without a backend comes first.
 */
export async function buildParts(
  config: ResolvedConfig,
  written: RunConfig,
  output: Output,
  options: CreateOptions,
): Promise<RunParts> {
  const baseDirectory = options.baseDirectory ?? (hasFileSystem ? pathModule().resolve(".") : "");
  const { purpose = "train" } = options;
  const { seed } = config;
  const fast = config.train.fastDevRun !== false;
  const persistent = config.checkpoint !== false && !fast &&
    (hasFileSystem || options.store !== undefined);
  const user = await buildCallbacks(config.callbacks.entries());
  const callbacks = withDefaults(user, config, persistent);
  // Not by the shards that come of the workers: the run may go on with others.
  const { shards = 1 } = written;
  const name = config.name ?? await runName({ ...config, shards });
  const directory = config.checkpoint === false ? "runs" : config.checkpoint.directory;
  const store = persistent && options.store !== undefined
    ? options.store
    : persistent
    ? new FileStore(pathModule().resolve(directory, name))
    : new MemoryStore();
  const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => output.line(line));
  if (persistent) config = await withSavedShards(config, written, store, checkpoints);
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
  const lossConfig = config.loss ?? task.defaults.loss;
  const metricConfig = config.metrics ?? [...task.defaults.metrics];
  const loss = buildLoss(lossConfig as never);
  const metrics = buildMetrics(metricConfig as never);
  const horizons = config.test === false ? [] : config.test.horizons;
  const settings = settingsOf(config, metrics, callbacks);
  config = { ...config, scheduler: resolveScheduler(config, settings) };
  const loaders = loadersOf(config, settings, data, seed);
  if (stored === undefined) {
    checkMonitors(callbacks, metrics, loaders);
    refuseWithoutPart(written, loaders);
  }
  const schedulerMonitor = stored === undefined
    ? monitorOf(config.scheduler, metrics, loaders)
    : undefined;

  const backend = await selectBackend(config.backend, {
    deterministic: config.deterministic,
    log: (line) => output.line(line),
    ...(options.wasmPath === undefined ? {} : { wasmPath: options.wasmPath }),
  });
  const parts = {
    settings: { ...settings, name, fineTune: fineTuneFrom(config.fineTune, baseDirectory) },
    fingerprint: { ...fingerprintOf(config), ...stored ?? { contents: contentsOf(data) } },
    resolvedConfig: plainCopy({ ...config, name }) as Record<string, unknown>,
    backend: backend.name,
    numeric: numericMode(backend, config.deterministic),
    task,
    loss,
    metrics,
    horizonMetrics: stepMetrics(metrics, horizons, "test.horizons"),
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
  const trained = await buildTrained(config, parts, baseDirectory, purpose === "train");
  try {
    const workers = workersOf(config, backend.name, output);
    if (workers === 1 || purpose === "predict") return { ...parts, ...trained };
    const built = { ...parts, ...trained, callbacks: user, baseDirectory, task: { type, params } };
    const named = { ...config, loss: lossConfig, metrics: metricConfig };
    return { ...parts, ...trained, engine: workerEngine(named, workers, built, options) };
  } catch (error) {
    trained.optimizer.dispose();
    disposeModel(trained.model);
    throw error;
  }
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
    refuseManySteps(optimizer, nameOf(config.optimizer.type));
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
    await parts.loaders.train?.close?.();
    throw error;
  }
}

/** With `deterministic`, neither the runtime nor fused multiply-add makes a difference. */
function numericMode(backend: SelectedBackend, deterministic: boolean): Record<string, unknown> {
  const { name, simd, relaxedSimd, adapter } = backend;
  const common = { backend: name, deterministic, adapter };
  return deterministic ? common : { ...common, runtime, simd, relaxedSimd };
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
