/** A run of built components: its calls, and what holds between them. `training_loop.ts` is the loop. */
import type { Store } from "../checkpoint/store.ts";
import { CheckpointError, ConfigError, oneLine, WorkerError } from "../core/errors.ts";
import { hostProcess } from "../core/host.ts";
import { randomStream } from "../core/random.ts";
import type { DataSplits } from "../data/dataset.ts";
import type { Model } from "../model/model.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Output } from "../report/console.ts";
import { buildTask } from "../task/registry.ts";
import type * as tf from "../tensor/tf.ts";
import { Breath } from "./breath.ts";
import { dataOfWeights, savedData } from "./contents.ts";
import type { RunContext } from "./context.ts";
import { Evaluations } from "./evaluations.ts";
import { finishRun } from "./finish.ts";
import { Hooks } from "./hooks.ts";
import { LocalEngine } from "./local_engine.ts";
import { TrainMeters } from "./meters.ts";
import { disposeModel, refuseManySteps, type RunParts } from "./parts.ts";
import { predict, type PredictInputs } from "./predict.ts";
import type { Values } from "./record.ts";
import { readSummary, writeJson } from "./run_files.ts";
import { RunCheckpoints } from "./run_checkpoints.ts";
import type { RunView } from "./run_view.ts";
import { Saver } from "./saver.ts";
import type { RunSettings } from "./settings.ts";
import { listenForSignals, RESUMABLE } from "./signals.ts";
import { begin, goOn } from "./start.ts";
import { type FinishReason, initialState, type RunState, type Summary } from "./state.ts";
import { Timing } from "./timing.ts";
import { TrainingLoop } from "./training_loop.ts";

export type { RunParts } from "./parts.ts";

/** A run of built components: `train`, `validate`, `test`, `predict`. Subclass it to change a step. */
export class BaseIterationRunner implements RunView {
  readonly settings: RunSettings;
  readonly optimizer: Optimizer;
  /** The parts of the data. */
  readonly data: DataSplits;
  readonly store: Store;
  readonly output: Output;
  timing: Timing;
  readonly #parts: RunParts;
  readonly #context: RunContext;
  readonly #saver: Saver;
  readonly #evaluations: Evaluations;
  readonly #loop: TrainingLoop;
  readonly #checkpoints: RunCheckpoints;
  /** Of the last `train()` that came to its end. */
  #summary: Summary | undefined;
  #ready = false;
  #disposed = false;
  /** Whether that was in the middle of a call, whose state is gone. */
  #isCut = false;
  #busy: string | undefined;
  /** What is under way and keeps what the run is made of from being freed. */
  #holders = 0;

  constructor(parts: RunParts) {
    refuseManySteps(parts.optimizer);
    this.#parts = parts;
    this.settings = parts.settings;
    this.optimizer = parts.optimizer;
    this.data = parts.data;
    this.store = parts.store;
    this.output = parts.output;
    this.timing = new Timing(parts.clock);
    this.#saver = new Saver(parts);
    const hooks = new Hooks(parts.callbacks);
    const breath = new Breath(parts.clock);
    const meters = new TrainMeters(parts.settings.train.metrics ? parts.metrics : []);
    this.#context = {
      run: this,
      saver: this.#saver,
      saveAtCadence: () => this.#checkpoints.saveAtCadence(),
      goBack: (iteration, counters) => this.#checkpoints.goBack(iteration, counters),
      parts,
      engine: parts.engine ?? new LocalEngine(parts, {
        hooks,
        trainMetrics: meters.metrics,
        breathe: () => breath.take(),
      }),
      hooks,
      breath,
      meters,
      state: initialState(),
    };
    this.#context.engine.onRestart = () => this.timing.restarts++;
    this.#evaluations = new Evaluations(this.#context);
    this.#loop = new TrainingLoop(this.#context, this.#evaluations);
    this.#checkpoints = new RunCheckpoints(this.#context, this.#loop, () => {
      if (this.#isCut) throw disposal();
      this.#refuseBroken();
    });
  }

  /** The model in the state of the training. */
  get model(): Model {
    if (!this.#disposed) this.#context.engine.pull();
    return this.#parts.model;
  }

  /** Counters: iterations done, skipped, the best validation, why it ended. */
  get state(): Readonly<RunState> {
    return this.#context.state;
  }

  get lastLoss(): number {
    return this.state.lastLoss ?? NaN;
  }

  get lastGradNorm(): number {
    return this.state.lastGradNorm ?? NaN;
  }

  /** Ends the run after the current iteration; the first reason stands. */
  stop(reason: FinishReason): void {
    this.#loop.stopping ??= reason;
  }

  /**
   * Trains to the last iteration, then tests the best weights.
   *
   * Resumes from the newest checkpoint of the run's directory as `checkpoint.resume` says. A run that
   * has finished is only tested: its records stay as they are, and the summary keeps its times.
   * SIGTERM and SIGINT end it after the update or evaluation batch at hand, with a checkpoint and exit
   * code 75; a resumed run makes up for a broken evaluation. Afterwards the model holds the last weights.
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
    const { engine, hooks, breath, state } = this.#context;
    // What a program sets in the model between two calls is trained on.
    engine.pull();
    this.timing = new Timing(this.#parts.clock);
    this.#loop.stopping = undefined;
    breath.signalled = false;
    const release = listenForSignals((signal) => {
      this.output.line(`${signal}: stopping`);
      breath.signalled = true;
      this.stop("signal");
    });
    try {
      if (this.#parts.persistent) {
        this.#saver.lock = await this.store.lock((line) => this.output.line(line));
      }
      await this.#prepare();
      delete state.exception;
      const ended = await this.#endedBefore();
      if (ended !== undefined) return await this.#finish(ended.finished, ended);
      await hooks.emit("trainStart", this);
      const isOver = state.finished !== undefined && !this.#loop.hasRest;
      const reason = isOver ? state.finished! : await this.#loop.train();
      await hooks.emit("trainEnd", reason, this);
      return await this.#finish(reason);
    } catch (thrown) {
      // The first error is the one to know.
      const error = this.#reasonOf(thrown);
      // An early stop is of the training, not of the call that an error ends.
      if (this.#loop.stopping === "early-stopping") state.finished ??= this.#loop.stopping;
      await this.#orSay(() => this.#saver.settle());
      const mayWrite = this.#ready && this.#parts.persistent && !this.#disposed &&
        !(error instanceof CheckpointError);
      if (mayWrite) await this.#orSay(() => this.#checkpoints.keepException(error));
      await this.#orSay(() => hooks.emit("exception", error, this));
      throw error;
    } finally {
      release();
      // What was asked for is written before others may write.
      await this.#checkpoints.idle();
      this.#saver.lock?.release();
      this.#saver.lock = undefined;
      this.#saver.forget();
      breath.signalled = false;
    }
  }

  /**
   * Puts the newest checkpoint of the run's directory into the run, if there is one.
   *
   * @returns Whether there was one.
   */
  async restore(): Promise<boolean> {
    return await this.#alone("restore", async () => {
      const found = await this.#restore();
      if (found && this.#ready) goOn(this.#parts, this.#context.state);
      return found;
    });
  }

  async #restore(): Promise<boolean> {
    const found = this.#parts.persistent ? await this.#parts.checkpoints.latest() : undefined;
    if (found === undefined) return false;
    this.#checkpoints.restore(found.iteration, found.state);
    return true;
  }

  /** Loss and metrics on the validation part, with the weights the model holds now. */
  async validate(): Promise<Values> {
    return await this.#alone("validate", () => this.#evaluations.present("validation"));
  }

  /**
   * Loss and metrics on the test part, with the best weights of the run if it has any (in this
   * process or in its directory), else with the weights the model holds.
   */
  async test(): Promise<Values> {
    return await this.#alone("test", () => this.#evaluations.finalTest());
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
    const breathe = () => this.#context.breath.take();
    const common = { model, batchSize: settings.test.batchSize, breathe };
    const random = randomStream(settings.seed, "predict");
    return await this.#alone("predict", () =>
      this.#evaluations.withBest((best) => {
        const form = best === undefined
          ? data
          : dataOfWeights(savedData(best.state.meta), fingerprint.contents, data);
        const own = form === data ? task : buildTask(task.name, { scaler: form.scaler });
        return predict({ ...common, task: own, data: form }, inputs, random);
      }, { anyData: true }));
  }

  /**
   * Writes a checkpoint of the state as it is now, or after the update that is being made; during an
   * evaluation of averages or best weights, with those of the training. Requests that wait for the disk
   * share one checkpoint, of the newest state. No rollback goes back to it.
   *
   * @param options.wait Whether it resolves when the checkpoint is on the disk (default), or when the
   * state is copied.
   * @throws {NonFiniteError} If a parameter is not finite: such a state replaces no good one.
   * @throws {ConfigError} Before `train()` or `restore()` has put the run into a state, if an error broke
   * the iteration off, and in the hooks `save` and `state`, which are part of a checkpoint.
   */
  async saveCheckpoint({ wait = true }: { wait?: boolean } = {}): Promise<void> {
    this.#refuseDisposed();
    if (!this.#parts.persistent) return;
    if (!this.#ready && this.#saver.last === undefined) {
      throw new ConfigError("", "cannot save a checkpoint before train() or restore()");
    }
    await this.#held(() => this.#checkpoints.save(wait));
  }

  /**
   * The checkpoint that a rollback goes back to, and that a resumed run has to make again: for an
   * `iterationEnd` hook, which awaits it. Resolves when the state is copied.
   *
   * @throws {ConfigError} Anywhere else.
   */
  async saveAtCadence(): Promise<void> {
    this.#refuseDisposed();
    if (this.#context.hooks.calling !== "iterationEnd") {
      throw new ConfigError("", "saveAtCadence() is for the beginning of an iterationEnd hook");
    }
    if (this.#parts.persistent) await this.#held(() => this.#checkpoints.saveAtCadence());
  }

  async writing(work: () => Promise<unknown>): Promise<void> {
    await this.#saver.attempt(work);
  }

  /**
   * Frees the model, the optimizer and the callbacks; the run cannot be used afterwards. A call of it
   * that is under way (`train`, `test`, ...) ends with a {@link ConfigError} that says so, and then they
   * are freed.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#isCut = this.#busy !== undefined;
    this.#context.breath.over = disposal();
    this.#context.engine.dispose();
    if (this.#holders === 0) this.#free();
  }

  #free(): void {
    for (const callback of this.#context.hooks.having("dispose")) callback.dispose();
    // A stream that is open ends in the background; nothing more is asked of it.
    this.#parts.loaders.train?.close?.().catch(() => {});
    this.optimizer.dispose();
    disposeModel(this.#parts.model);
  }

  /** The state to start from: the newest checkpoint, else the fine-tuning weights, else as built. */
  async #prepare(): Promise<void> {
    // A later call of `train()` goes on from where the run is.
    if (this.#ready) return;
    const { hooks, state } = this.#context;
    const { persistent, resolvedConfig } = this.#parts;
    await hooks.emit("setup", this);
    const found = state.iteration > 0 ||
      (this.settings.resume !== "never" && await this.#restore());
    if (found) goOn(this.#parts, state);
    else await begin(this.#parts);
    if (persistent && state.finished === undefined) {
      await writeJson(this.store, "config.json", resolvedConfig);
    }
    this.#ready = true;
  }

  /** The summary of a run that has finished and was tested, here or in an earlier process. */
  async #endedBefore(): Promise<Summary | undefined> {
    const { finished, iteration } = this.#context.state;
    if (finished === undefined) return undefined;
    const summary = this.#summary ?? await readSummary(this.store);
    return summary?.finished === finished && summary.iterations === iteration ? summary : undefined;
  }

  /** The final test and the summary; `ended` is the one that a finished run has already. */
  async #finish(reason: FinishReason, ended?: Summary): Promise<Summary> {
    const summary = await finishRun(this.#context, this.#evaluations, reason, ended);
    // A test that was broken off takes nothing from a run that has ended.
    if (ended === undefined || summary.finished !== "signal") {
      this.#summary = summary;
      if (this.#parts.persistent) {
        await this.writing(() => writeJson(this.store, "summary.json", summary));
      }
    }
    const { signalled } = this.#context.breath;
    if (summary.finished === "signal" && signalled && hostProcess !== undefined) {
      hostProcess.exitCode = RESUMABLE;
    }
    await this.#checkpoints.idle();
    this.#saver.check();
    return summary;
  }

  /** Runs `work` after an error; an error of its own is only said. */
  async #orSay(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (second) {
      this.output.line(`after an error: ${oneLine(second)}`);
    }
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
    // Half an update is in the weights.
    if (what !== "restore") this.#refuseBroken();
    this.#busy = what;
    return await this.#held(async () => {
      try {
        return await work();
      } finally {
        await this.#context.engine.rest().finally(() => this.#busy = undefined);
      }
    });
  }

  /** Runs `work` with what the run is made of, which is not freed before it has ended. */
  async #held<T>(work: () => Promise<T>): Promise<T> {
    this.#refuseDisposed();
    this.#holders++;
    try {
      return await work();
    } catch (error) {
      throw this.#reasonOf(error);
    } finally {
      if (--this.#holders === 0 && this.#disposed) this.#free();
    }
  }

  /** Why a call fails with `error`: workers that were disposed of say so in their own way. */
  #reasonOf(error: unknown): unknown {
    return this.#disposed && error instanceof WorkerError ? disposal() : error;
  }

  #refuseBroken(): void {
    const { broken } = this.#loop;
    if (broken === undefined) return;
    throw new ConfigError(
      "",
      `iteration ${this.#context.state.iteration} was broken off (${oneLine(broken.error)}): ` +
        "restore() a checkpoint, or create the run anew",
      { cause: broken.error },
    );
  }

  #refuseDisposed(): void {
    if (this.#disposed) throw disposal();
  }
}

function disposal(): ConfigError {
  return new ConfigError("", "the run has been disposed");
}
