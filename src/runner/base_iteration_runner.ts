/**
 * The loop. One iteration = one optimizer update = one scheduler step, whatever the accumulation,
 * the shards or the epoch; iterations are counted from 1, and N iterations make N updates.
 *
 * Order inside an iteration: load, forward and backward, one read, update, scheduler; then log,
 * validation (best value, patience), test and checkpoint, each at its own cadence and, except the
 * test, also at iteration N. Where a read waits for the device (WebGPU) the update goes before it,
 * and takes what it needs to know from the device.
 */
import type { Checkpoint, CheckpointDirectory } from "../checkpoint/checkpoint.ts";
import type { Store } from "../checkpoint/store.ts";
import { readTensors, toTensor, weightsSha256 } from "../checkpoint/tensors.ts";
import { loadWeights } from "../checkpoint/weights.ts";
import { type Clock, macrotask } from "../core/clock.ts";
import { CheckpointError, ConfigError, NonFiniteError } from "../core/errors.ts";
import { hostProcess } from "../core/host.ts";
import { type RandomStream, randomStream } from "../core/random.ts";
import { batchSize as rowsOf } from "../data/batch.ts";
import type { DataSplits, HostArray } from "../data/dataset.ts";
import type { DataLoader, Loader } from "../data/loader.ts";
import type { Loss } from "../loss/loss.ts";
import type { Metric } from "../metric/metric.ts";
import type { Model } from "../model/model.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Output } from "../report/console.ts";
import { nameNonFinite } from "../report/json_lines.ts";
import type { Scheduler } from "../schedule/scheduler.ts";
import { buildTask } from "../task/registry.ts";
import type { Task } from "../task/task.ts";
import * as tf from "../tensor/tf.ts";
import { dataOfWeights, savedData } from "./contents.ts";
import { type BatchVisitor, evaluate, evaluateForecast, type EvaluationParts } from "./evaluate.ts";
import {
  type IterationGradient,
  iterationGradient,
  leafBounds,
  type PassParts,
  type Totals,
} from "./gradients.ts";
import {
  type Callback,
  type DeviceGradientValue,
  type GradientValue,
  Hooks,
  type Phase,
  type Values,
} from "./hooks.ts";
import { TrainMeters } from "./meters.ts";
import { perturbedGradient } from "./perturbed_gradient.ts";
import { predict, type PredictInputs } from "./predict.ts";
import { PredictionCollector } from "./predictions.ts";
import type { RunView } from "./run_view.ts";
import type { RunSettings } from "./settings.ts";
import { listenForSignals, RESUMABLE } from "./signals.ts";
import { modelTensors, refuseDifference, restoreSnapshot, takeSnapshot } from "./snapshot.ts";
import { type FinishReason, initialState, type RunState, type Summary } from "./state.ts";
import { Timing } from "./timing.ts";

/** Longest time, in ms, the loop keeps the event loop waiting; half of what is promised. */
const YIELD_AFTER_MS = 25;

/** The built components of a run. */
export interface RunParts {
  readonly settings: RunSettings;
  /** What a resumed run must share with the one that wrote the checkpoint. */
  readonly fingerprint: Record<string, unknown>;
  /** The whole config with defaults, for `config.json`. */
  readonly resolvedConfig: Record<string, unknown>;
  readonly backend: string;
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

/** A run of built components: `train`, `validate`, `test`, `predict`. Subclass it to change a step. */
export class BaseIterationRunner implements RunView {
  readonly settings: RunSettings;
  readonly model: Model;
  readonly optimizer: Optimizer;
  /** The parts of the data. */
  readonly data: DataSplits;
  readonly store: Store;
  readonly output: Output;
  timing: Timing;
  lastLoss: number = NaN;
  lastGradNorm: number = NaN;
  readonly #parts: RunParts;
  readonly #hooks: Hooks;
  readonly #pass: PassParts;
  readonly #evaluation: EvaluationParts;
  readonly #meters: TrainMeters;
  readonly #random: RandomStream;
  readonly #trainRandom: RandomStream;
  #state: RunState = initialState();
  #stopping: FinishReason | undefined;
  /** Of the last `train()` that came to its end. */
  #summary: Summary | undefined;
  /** Whether the process was told to end, as against a program that called `stop`. */
  #signalled = false;
  #ready = false;
  #lastYield = 0;
  #disposed = false;
  #busy: string | undefined;

  constructor(parts: RunParts) {
    if (parts.optimizer.needsClosure && !parts.optimizer.perturbs) {
      throw new ConfigError(
        "optimizer.type",
        "needs step(closure) and one loss for many steps, which a run over batches does not have",
      );
    }
    this.#parts = parts;
    this.settings = parts.settings;
    this.model = parts.model;
    this.optimizer = parts.optimizer;
    this.data = parts.data;
    this.store = parts.store;
    this.output = parts.output;
    this.timing = new Timing(parts.clock);
    this.#hooks = new Hooks(parts.callbacks);
    const trainMetrics = parts.settings.train.metrics ? parts.metrics : [];
    this.#pass = {
      model: parts.model,
      task: parts.task,
      loss: parts.loss,
      trainMetrics,
      hooks: this.#hooks,
      breathe: () => this.#breathe(),
    };
    this.#evaluation = {
      model: parts.model,
      task: parts.task,
      loss: parts.loss,
      metrics: parts.metrics,
      inputScaler: parts.settings.rescale ? parts.data.inputScaler ?? parts.data.scaler : undefined,
      breathe: async () => {
        await this.#breathe();
        if (this.#signalled) throw new Interrupted();
      },
    };
    this.#meters = new TrainMeters(trainMetrics);
    this.#random = randomStream(parts.settings.seed);
    this.#trainRandom = this.#random.fork("train");
  }

  /** Counters: iterations done, skipped, the best validation, why it ended. */
  get state(): Readonly<RunState> {
    return this.#state;
  }

  /** Ends the run after the current iteration; the first reason stands. */
  stop(reason: FinishReason): void {
    this.#stopping ??= reason;
  }

  /**
   * Trains to the last iteration, then tests the best weights.
   *
   * Resumes from the newest checkpoint of the run's directory as `checkpoint.resume` says. A run that
   * has finished is only tested: its records stay as they are, and the summary keeps its times. SIGTERM and SIGINT end it after the update or evaluation batch
   * at hand, with a checkpoint and exit code 75; a resumed run makes up for a broken evaluation.
   * Afterwards the model holds the last weights.
   *
   * @throws {CheckpointError} If the directory holds a run with another config.
   * @throws {NonFiniteError} If loss or gradient is not finite and `train.nonFinite` is `stop`.
   */
  async train(): Promise<Summary> {
    return await this.#alone("train", () => this.#train());
  }

  async #train(): Promise<Summary> {
    if (this.#parts.loaders.train === undefined) {
      throw new ConfigError("data", "has no training part");
    }
    this.timing = new Timing(this.#parts.clock);
    this.#stopping = undefined;
    this.#signalled = false;
    const release = listenForSignals((signal) => {
      this.output.line(`${signal}: stopping`);
      this.#signalled = true;
      this.stop("signal");
    });
    try {
      await this.#prepare();
      const ended = await this.#endedBefore();
      if (ended !== undefined) return await this.#finish(ended.finished, ended);
      await this.#hooks.emit("trainStart", this);
      const reason = this.#state.finished ?? await this.#loop();
      await this.#hooks.emit("trainEnd", reason, this);
      return await this.#finish(reason);
    } catch (error) {
      try {
        await this.#hooks.emit("exception", error, this);
      } catch (second) {
        // The first error is the one to know.
        this.output.line(`after an error: ${(second as Error)?.message ?? second}`);
      }
      throw error;
    } finally {
      release();
      this.#signalled = false;
    }
  }

  /**
   * Puts the newest checkpoint of the run's directory into the run, if there is one.
   *
   * @returns Whether there was one.
   */
  async restore(): Promise<boolean> {
    this.#refuseDisposed();
    const found = this.#parts.persistent ? await this.#parts.checkpoints.latest() : undefined;
    if (found === undefined) return false;
    this.#state = restoreSnapshot(
      this.#snapshotParts(),
      found.state,
      `${this.store.location}, iteration ${found.iteration}`,
    );
    return true;
  }

  /** Loss and metrics on the validation part, with the weights the model holds now. */
  async validate(): Promise<Values> {
    return await this.#alone(
      "validate",
      () => this.#withEvaluationWeights(() => this.#evaluateSplit("validation")),
    );
  }

  /**
   * Loss and metrics on the test part, with the best weights of the run if it has any (in this
   * process or in its directory), else with the weights the model holds.
   */
  async test(): Promise<Values> {
    const { savePredictions } = this.settings.test;
    return await this.#alone(
      "test",
      () => this.#withBestWeights(() => this.#evaluateSplit("test", savePredictions)),
    );
  }

  /**
   * What the model answers for inputs in original units, with the best weights if there are any.
   * Scaler and null value are those the weights were trained with, also where the data have changed.
   *
   * @param inputs `inputs` as a tensor or nested/typed array [batch, ...], or several by field name.
   * @returns Tensors by name (`prediction`, ...) in original units, for the caller to dispose.
   */
  async predict(inputs: PredictInputs): Promise<Record<string, tf.Tensor>> {
    const { model, task, data, settings, fingerprint } = this.#parts;
    const common = { model, batchSize: settings.test.batchSize, breathe: () => this.#breathe() };
    const random = this.#random.fork("predict");
    return await this.#alone("predict", () =>
      this.#withBestWeights((best) => {
        const form = best === undefined
          ? data
          : dataOfWeights(savedData(best.state.meta), fingerprint.contents, data);
        const own = form === data ? task : buildTask(task.name, { scaler: form.scaler });
        return predict({ ...common, task: own, data: form }, inputs, random);
      }, { anyData: true }));
  }

  /** Writes a checkpoint of the state as it is now. */
  async saveCheckpoint(): Promise<void> {
    if (!this.#parts.persistent) return;
    await this.#hooks.emit("save", this);
    // Resumed from the checkpoint of an early stop, a run must not train on, also if it was killed
    // before the loop ended.
    const finished = this.#state.finished ??
      (this.#stopping === "early-stopping" ? this.#stopping : undefined);
    await this.#parts.checkpoints.save(
      this.#state.iteration,
      await takeSnapshot(this.#snapshotParts(), { ...this.#state, finished }),
    );
    await this.#parts.checkpoints.prune(this.settings.keep);
  }

  /** Frees the model, the optimizer and the callbacks; the run cannot be used afterwards. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const callback of this.#hooks.having("dispose")) callback.dispose();
    // A stream that is open ends in the background; nothing more is asked of it.
    this.#parts.loaders.train?.close?.().catch(() => {});
    this.optimizer.dispose();
    disposeModel(this.model);
  }

  /** One pass over the iterations that are left; returns why it ended. */
  async #loop(): Promise<FinishReason> {
    const { iterations, maxTime } = this.settings.train;
    await this.#unlessInterrupted(() => this.#sanityCheck());
    if (this.#state.pending !== undefined) await this.#evaluateAfter(this.#state.iteration);
    while (this.#state.iteration < iterations && this.#stopping === undefined) {
      await this.#iterate(this.#state.iteration + 1);
      if (this.timing.seconds >= maxTime && this.#state.iteration < iterations) {
        this.stop("max-time");
      }
      await this.#breathe();
    }
    const reason = this.#state.iteration >= iterations
      ? this.#stopping ?? "iterations"
      : this.#stopping!;
    const ended = this.#state.pending === undefined &&
      (reason === "iterations" || reason === "early-stopping" ||
        this.#state.iteration >= iterations);
    if (ended) this.#state.finished = reason === "early-stopping" ? reason : "iterations";
    await this.saveCheckpoint();
    return this.#state.finished ?? reason;
  }

  async #iterate(i: number): Promise<void> {
    const { settings } = this;
    await this.#hooks.emit("iterationStart", this);
    const begin = this.#parts.clock.now();
    let batch = await this.#parts.loaders.train!.load(i - 1);
    const waited = this.#parts.clock.now() - begin;
    for (const callback of this.#hooks.having("batch")) batch = callback.batch(batch, this);

    const rows = rowsOf(batch);
    const bounds = leafBounds(rows, settings.train.batchSize, settings.shards);
    const lr = this.optimizer.paramGroups[0].lr;
    const pass = () => iterationGradient(this.#pass, batch, bounds, i, this.#trainRandom.fork(i));
    const gradient = this.optimizer.perturbs
      ? await perturbedGradient(this.optimizer, this.model, pass)
      : await pass();
    this.#state.iteration = i;
    let totals: Totals;
    try {
      const early = this.#updatesBeforeRead();
      if (early) this.#updateOnDevice(gradient);
      totals = await gradient.read();
      if (early) this.optimizer.settle(totals.finite);
      if (!totals.finite) {
        this.#skip(totals);
      } else {
        this.#count(totals);
        if (!early) this.#update(gradient.grads, totals);
        if (this.#parts.schedulerMonitor === undefined) this.#parts.scheduler?.step();
      }
    } finally {
      gradient.dispose();
    }
    this.timing.iteration(rows, this.#parts.clock.now() - begin, waited);
    if (totals.finite) await this.#hooks.emit("updateEnd", this);

    if (i === settings.train.iterations || i % settings.log.interval === 0) {
      await this.#log("train", { ...this.#meters.take(), lr });
    }
    await this.#evaluateAfter(i);
  }

  /** Validation and test at their cadences, and the end of iteration `i`; all of it, or from what is pending. */
  async #evaluateAfter(i: number): Promise<void> {
    const { train, validation } = this.settings;
    const due = { val: i % validation.interval === 0 || i === train.iterations, test: false };
    due.test = this.#isTested(i);
    const state = this.#state;
    const done = await this.#unlessInterrupted(async () => {
      if (due.val && state.pending !== "test") {
        state.pending = "val";
        await this.#validateAndCompare();
      }
      if (due.test) {
        state.pending = "test";
        const values = await this.#withEvaluationWeights(() => this.#evaluateSplit("test"));
        await this.#log("test", values);
        await this.#hooks.emit("testEnd", values, this);
      }
      return true;
    });
    if (done === undefined) return;
    delete state.pending;
    await this.#hooks.emit("iterationEnd", this);
  }

  /** Whether iteration `i` is followed by a test. */
  #isTested(i: number): boolean {
    return i > 0 && i % this.settings.test.interval === 0 && this.#parts.loaders.test !== undefined;
  }

  /** Undefined if a signal broke `work` off. */
  async #unlessInterrupted<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Interrupted) return undefined;
      throw error;
    }
  }

  /** Whether the update can do without numbers on the host, and is better off so. */
  #updatesBeforeRead(): boolean {
    return this.#parts.backend === "webgpu" && this.optimizer.obeysGuards &&
      this.#hooks.having("gradients").every((callback) => callback.deviceGradients !== undefined);
  }

  /** The optimizer's step, which leaves everything as it is if loss or gradient is not finite. */
  #updateOnDevice(gradient: IterationGradient): void {
    tf.tidy(() => {
      let value: DeviceGradientValue = { grads: gradient.grads, ...gradient.onDevice() };
      for (const callback of this.#hooks.having("deviceGradients")) {
        const next = callback.deviceGradients(value, this);
        const sameNorm = next.grads === value.grads && next.scale === value.scale;
        value = sameNorm ? next : { ...next, norm: undefined };
      }
      this.optimizer.applyGradients(value.grads, { scale: value.scale, guard: gradient.guard() });
    });
  }

  /** The optimizer's step. */
  #update(grads: Record<string, tf.Tensor>, totals: Totals): void {
    let value: GradientValue = { grads, scale: totals.scale, norm: totals.norm };
    for (const callback of this.#hooks.having("gradients")) {
      const next = callback.gradients(value, this);
      if (value.grads !== grads && next.grads !== value.grads) {
        tf.dispose(Object.values(value.grads));
      }
      const norm = next.grads === grads ? totals.norm * (next.scale / totals.scale) : undefined;
      value = { ...next, norm };
    }
    this.optimizer.applyGradients(value.grads, { scale: value.scale });
    if (value.grads !== grads) tf.dispose(Object.values(value.grads));
  }

  #count({ lossSum, count, norm, metricSums }: Totals): void {
    this.lastLoss = lossSum / count;
    this.lastGradNorm = norm;
    this.#meters.add(lossSum, count, norm, metricSums);
  }

  /** A loss or gradient that is not finite: the run ends, or the iteration is skipped with a line. */
  #skip({ lossSum, count, norm }: Totals): void {
    const what = Number.isFinite(lossSum) ? "the gradient" : "the loss";
    const { iteration } = this.#state;
    if (this.settings.train.nonFinite === "stop") {
      this.#state.iteration--;
      throw new NonFiniteError(
        iteration,
        `${what} is not finite (loss ${lossSum / count}, gradient norm ${norm}); ` +
          `lower the learning rate, clip, or set train.nonFinite to "skip"`,
      );
    }
    this.#state.skipped++;
    this.output.line(`iteration ${iteration}: skipped, ${what} is not finite`);
  }

  /** Validation, the best value and its weights, and what follows a validation. */
  async #validateAndCompare(): Promise<void> {
    if (this.#parts.loaders.validation === undefined) return;
    const { monitor, mode } = this.settings.best;
    const values = await this.#withEvaluationWeights(async () => {
      const values = await this.#evaluateSplit("validation");
      const value = values[monitor.replace(/^val\//, "")];
      const best = this.#state.best?.value;
      // Strictly better: a tie keeps the earlier weights, and NaN is never better.
      if (
        best === undefined ? !Number.isNaN(value) : mode === "min" ? value < best : value > best
      ) {
        this.#state.best = { iteration: this.#state.iteration, metric: monitor, value };
        await this.#parts.checkpoints.saveBest(this.#state.iteration, {
          tensors: await readTensors(modelTensors(this.model)),
          meta: { ...this.#state.best, fingerprint: this.#parts.fingerprint },
        });
      }
      return values;
    });
    await this.#log("val", values);
    const { scheduler, schedulerMonitor } = this.#parts;
    if (schedulerMonitor !== undefined) {
      scheduler?.step(values[schedulerMonitor.replace(/^val\//, "")]);
    }
    await this.#hooks.emit("validationEnd", values, this);
  }

  async #log(phase: Phase, values: Values): Promise<void> {
    let record = values;
    for (const callback of this.#hooks.having("values")) {
      record = callback.values(phase, record, this);
    }
    await this.#hooks.emit("log", phase, this.#state.iteration, record, this);
  }

  /** The state to start from: the newest checkpoint, else the fine-tuning weights, else as built. */
  async #prepare(): Promise<void> {
    // A later call of `train()` goes on from where the run is.
    if (this.#ready) return;
    const { persistent, checkpoints, store, resolvedConfig } = this.#parts;
    const { resume, fineTune } = this.settings;
    await this.#hooks.emit("setup", this);
    const found = this.#state.iteration > 0 || (resume !== "never" && await this.restore());
    if (!found && persistent && resume === "required") {
      throw new CheckpointError(
        `checkpoint.resume is "required" and ${store.location} holds no checkpoint`,
      );
    }
    if (found) this.#announce();
    else if (fineTune !== undefined) {
      await loadWeights(fineTune.path, modelTensors(this.model), { strict: fineTune.strict });
      this.output.line(`fine-tuning from ${fineTune.path}`);
    }
    if (persistent) {
      if (!found) {
        await checkpoints.clear();
        await clearReports(store);
      }
      if (this.#state.finished === undefined) {
        await store.write("config.json", encode(`${JSON.stringify(resolvedConfig, null, 2)}\n`));
      }
    }
    this.#ready = true;
  }

  /** Says what a restored run does; one with more iterations to make than before goes on. */
  #announce(): void {
    const { iteration, finished } = this.#state;
    const { location } = this.store;
    if (finished === "iterations" && iteration < this.settings.train.iterations) {
      this.#state.finished = undefined;
    }
    this.output.line(
      this.#state.finished === undefined
        ? `resuming ${location} after iteration ${iteration}`
        : `${location} has finished (${finished}, iteration ${iteration}); testing only`,
    );
  }

  /** A few validation batches before the first iteration, so that a fault shows early. */
  async #sanityCheck(): Promise<void> {
    const { validation } = this.#parts.loaders;
    const batches = Math.min(this.settings.validation.sanity, validation?.batchesPerEpoch ?? 0);
    if (validation === undefined || batches === 0 || this.#state.iteration > 0) return;
    await this.#withEvaluationWeights(() =>
      evaluate(this.#evaluation, validation, this.#random.fork("validation"), undefined, batches)
    );
  }

  /** The summary of a run that has finished and was tested, here or in an earlier process. */
  async #endedBefore(): Promise<Summary | undefined> {
    const { finished, iteration } = this.#state;
    if (finished === undefined) return undefined;
    const summary = this.#summary ?? await readSummary(this.store);
    return summary?.finished === finished && summary.iterations === iteration ? summary : undefined;
  }

  /**
   * Final test of the best weights, and the summary. The record says which weights were tested unless
   * they are the last; weights that a test has recorded at this iteration are not recorded twice.
   *
   * @param ended The summary the run has already, if this is one more test of it.
   */
  async #finish(reason: FinishReason, ended?: Summary): Promise<Summary> {
    const { loaders, data, store, persistent, backend } = this.#parts;
    let test: Values | undefined;
    let naive: Summary["naive"];
    if (reason !== "signal" && loaders.test !== undefined) {
      await this.#unlessInterrupted(async () => {
        const values = await this.#withBestWeights(() =>
          this.#evaluateSplit("test", this.settings.test.savePredictions)
        );
        const { iteration, best = { iteration } } = this.#state;
        const isLast = best.iteration === iteration;
        if (ended === undefined && !(isLast && this.#isTested(iteration))) {
          await this.#log("test", isLast ? values : { ...values, best_iteration: best.iteration });
        }
        await this.#hooks.emit("testEnd", values, this);
        naive = await this.#naive(data.naive ?? {});
        test = values;
      });
    }
    const finished = test === undefined && this.#signalled ? "signal" : reason;
    const summary: Summary = {
      finished,
      iterations: this.#state.iteration,
      skipped: this.#state.skipped,
      backend: ended?.backend ?? backend,
      workers: 1,
      shards: this.settings.shards,
      seconds: (ended ?? this.timing).seconds,
      samplesPerSecond: (ended ?? this.timing).samplesPerSecond,
      best: this.#state.best,
      test,
      ...(naive === undefined ? {} : { naive }),
      weightsSha256: await weightsSha256(modelTensors(this.model)),
    };
    await this.#hooks.emit("finish", summary, this);
    // A test that was broken off takes nothing from a run that has ended.
    if (ended === undefined || finished !== "signal") {
      this.#summary = summary;
      const text = JSON.stringify(summary, nameNonFinite, 2);
      if (persistent) await store.write("summary.json", encode(`${text}\n`));
    }
    if (finished === "signal" && this.#signalled && hostProcess !== undefined) {
      hostProcess.exitCode = RESUMABLE;
    }
    return summary;
  }

  async #naive(
    forecasts: Record<
      string,
      (split: "validation" | "test", indices: ArrayLike<number>) => HostArray
    >,
  ): Promise<Summary["naive"]> {
    const names = Object.keys(forecasts);
    // They forecast `targets`, which other tasks do not compare with.
    if (this.#parts.task.name !== "forecasting") return undefined;
    if (names.length === 0 || this.#parts.metrics.length === 0) return undefined;
    const out: NonNullable<Summary["naive"]> = {};
    for (const name of names) {
      const forecast = (indices: ArrayLike<number>) => forecasts[name]("test", indices);
      out[name] = await evaluateForecast(
        this.#evaluation,
        this.#parts.loaders.test!,
        forecast,
        this.#random.fork("test"),
      );
    }
    return out;
  }

  async #evaluateSplit(split: "validation" | "test", save = false): Promise<Values> {
    const loader = this.#parts.loaders[split];
    if (loader === undefined) throw new ConfigError("data", `has no ${split} part`);
    const metrics = split === "test"
      ? [...this.#parts.metrics, ...this.#parts.horizonMetrics]
      : this.#parts.metrics;
    const collector = save && this.#parts.persistent ? new PredictionCollector() : undefined;
    const visit: BatchVisitor | undefined = collector === undefined
      ? undefined
      : (batch) => collector.add(batch);
    const values = await evaluate(
      { ...this.#evaluation, metrics },
      loader,
      this.#random.fork(split),
      visit,
    );
    if (collector !== undefined) {
      await this.store.write("predictions.safetensors", collector.encode());
    }
    return values;
  }

  /** Runs `work` with the weights that evaluation should see (averages of EMA and the like). */
  async #withEvaluationWeights<T>(work: () => Promise<T>): Promise<T> {
    this.optimizer.eval();
    try {
      await this.#hooks.emit("evaluationStart", this);
      return await work();
    } finally {
      await this.#hooks.emit("evaluationEnd", this);
      this.optimizer.train();
    }
  }

  /** Runs `work` with the best weights, and puts the present ones back. */
  async #withBestWeights<T>(
    work: (best?: Checkpoint) => Promise<T>,
    { anyData = false } = {},
  ): Promise<T> {
    const best = await this.#parts.checkpoints.best();
    if (best === undefined) return await this.#withEvaluationWeights(work);
    const { fingerprint } = this.#parts;
    const { meta } = best.state;
    const now = anyData ? { ...fingerprint, ...savedData(meta) } : fingerprint;
    refuseDifference(meta.fingerprint, now, this.store.location);
    const variables = modelTensors(this.model);
    for (const name of Object.keys(variables)) {
      if (best.state.tensors[name]?.shape.join() !== variables[name].shape.join()) {
        throw new CheckpointError(
          `${this.store.location}: the best weights do not fit the model at ${name}`,
        );
      }
    }
    const kept = Object.keys(variables).map((name) =>
      [variables[name], tf.clone(variables[name])] as const
    );
    try {
      for (const name of Object.keys(variables)) {
        const value = toTensor(best.state.tensors[name]);
        variables[name].assign(value);
        value.dispose();
      }
      return await work(best);
    } finally {
      for (const [variable, value] of kept) {
        variable.assign(value);
        value.dispose();
      }
    }
  }

  #snapshotParts() {
    const { model, optimizer, scheduler, fingerprint } = this.#parts;
    return { model, optimizer, scheduler, fingerprint, hooks: this.#hooks, meters: this.#meters };
  }

  /** Lets signals and messages arrive when the loop has run for a while. */
  async #breathe(): Promise<void> {
    const now = this.#parts.clock.now();
    if (now - this.#lastYield < YIELD_AFTER_MS) return;
    await macrotask();
    this.#lastYield = this.#parts.clock.now();
  }

  /** Evaluation swaps weights in and out, so what would run beside another call is refused. */
  async #alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.#refuseDisposed();
    if (this.#busy !== undefined) {
      throw new ConfigError(
        "",
        `cannot ${what} during ${this.#busy}() of the same run; await it first`,
      );
    }
    this.#busy = what;
    try {
      return await work();
    } finally {
      this.#busy = undefined;
    }
  }

  #refuseDisposed(): void {
    if (this.#disposed) throw new ConfigError("", "the run has been disposed");
  }
}

/** Frees a model by its own means, or its variables. */
export function disposeModel(model: Model): void {
  if (model.dispose !== undefined) model.dispose();
  else tf.dispose(Object.values(modelTensors(model)));
}

/** A signal broke an evaluation off. */
class Interrupted extends Error {}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The summary that a run has left, undefined if there is none that can be read. */
async function readSummary(store: Store): Promise<Summary | undefined> {
  const bytes = await store.read("summary.json");
  try {
    return bytes && JSON.parse(new TextDecoder().decode(bytes)) as Summary;
  } catch {
    return undefined;
  }
}

/** Removes what an earlier run in the same place has reported. */
async function clearReports(store: Store): Promise<void> {
  for (const name of ["summary.json", "predictions.safetensors"]) await store.remove(name);
  for (const name of await store.list("tensorboard")) await store.remove(`tensorboard/${name}`);
}
