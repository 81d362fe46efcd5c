/**
 * The loop. One iteration = one optimizer update = one scheduler step, whatever the accumulation,
 * the shards or the epoch; iterations are counted from 1, and N iterations make N updates.
 *
 * Order inside an iteration: load, forward and backward, one read, update, scheduler; then log,
 * validation (best value, patience), test and checkpoint, each at its own cadence and, except the
 * test, also at iteration N. Where a read waits for the device (WebGPU) the update goes before it,
 * and takes what it needs to know from the device.
 */
import { DataError, NonFiniteError, WorkerError } from "../core/errors.ts";
import { type RandomStream, randomStream } from "../core/random.ts";
import { batchSize as rowsOf } from "../data/batch.ts";
import type { HostBatch } from "../data/dataset.ts";
import { keepIfBest } from "./best_weights.ts";
import { unlessInterrupted } from "./breath.ts";
import type { RunContext } from "./context.ts";
import { type Evaluations, isTested } from "./evaluations.ts";
import type { GradientTask, IterationGradient } from "./engine.ts";
import { sealGradients, type Totals } from "./gradients.ts";
import { leafBounds } from "./leaves.ts";
import type { FinishReason } from "./state.ts";
import { TrainingBatches } from "./training_batches.ts";
import { update, updateBeforeRead } from "./update.ts";

/** The iterations of a run. */
export class TrainingLoop {
  lastLoss: number = NaN;
  lastGradNorm: number = NaN;
  /** Why the run is to end after the current iteration. */
  stopping: FinishReason | undefined;
  /** Whether the state is that of the end of an iteration; false in the middle of one. */
  intact = true;
  readonly #context: RunContext;
  readonly #evaluations: Evaluations;
  readonly #random: RandomStream;
  #batches: TrainingBatches | undefined;
  #making: Promise<unknown> | undefined;

  constructor(context: RunContext, evaluations: Evaluations) {
    this.#context = context;
    this.#evaluations = evaluations;
    this.#random = randomStream(context.parts.settings.seed, "train");
  }

  /** Makes the iterations that are left; answers why it ended. */
  async train(): Promise<FinishReason> {
    try {
      return await this.#train();
    } finally {
      // What comes next may ask the same data set.
      await this.#batches?.settle();
    }
  }

  async #train(): Promise<FinishReason> {
    const { run, parts, state, breath, saver } = this.#context;
    const { iterations, maxTime, nonFinite } = parts.settings.train;
    this.#start();
    // There is to be a checkpoint to go back to.
    if (typeof nonFinite === "object" && state.anchor === undefined) {
      await run.saveCheckpoint({ wait: false });
    }
    await unlessInterrupted(() => this.#evaluations.sanityCheck());
    if (state.pending !== undefined) await this.#evaluateAfter(state.iteration);
    while (state.iteration < iterations && this.stopping === undefined) {
      try {
        await this.#iterate(state.iteration + 1);
        saver.check();
      } catch (error) {
        // They make a whole update or none, and an evaluation is pending until it is done.
        if (error instanceof WorkerError) this.intact = true;
        if (!await this.#rollBack(error)) throw error;
      }
      if (run.timing.seconds >= maxTime && state.iteration < iterations) run.stop("max-time");
      await breath.take();
    }
    const reason = state.iteration >= iterations ? this.stopping ?? "iterations" : this.stopping!;
    const ended = state.pending === undefined &&
      (reason === "iterations" || reason === "early-stopping" || state.iteration >= iterations);
    if (ended) state.finished = reason === "early-stopping" ? reason : "iterations";
    await run.saveCheckpoint();
    return state.finished ?? reason;
  }

  /** Settles with the gradient and the update that are being made: until then the state is of two iterations. */
  get making(): Promise<unknown> | undefined {
    return this.#making;
  }

  /** Back to the last checkpoint, if the error is one of `nonFinite` and the policy says so. */
  async #rollBack(error: unknown): Promise<boolean> {
    const { run, parts: { settings, output }, hooks, state, saver, restore } = this.#context;
    const { nonFinite } = settings.train;
    const { rollbacks = 0, passed = 0, best, anchor } = state;
    if (!(error instanceof NonFiniteError) || typeof nonFinite !== "object") return false;
    if (rollbacks >= nonFinite.rollback || anchor === undefined) return false;
    await saver.settle();
    // A data set may still be writing where other batches will be put.
    await this.#batches?.settle();
    await restore(anchor);
    const back = error.iteration - state.iteration;
    Object.assign(state, { rollbacks: rollbacks + 1, passed: passed + back, best });
    this.intact = true;
    output.line(
      `${error.message.split(";")[0]}: going back to iteration ${state.iteration} and on with ` +
        `other batches (${rollbacks + 1} of ${nonFinite.rollback})`,
    );
    await hooks.emit("trainStart", run);
    this.#start();
    return true;
  }

  /** From here on, what is trained is what `trainStart` has left. */
  #start(): void {
    const { parts, engine } = this.#context;
    engine.push();
    this.#batches = new TrainingBatches(parts.loaders.train!, engine.workers > 1);
  }

  async #iterate(i: number): Promise<void> {
    const { run, parts, hooks, state, meters } = this.#context;
    const position = i + (state.passed ?? 0);
    const { settings, optimizer, clock } = parts;
    await hooks.emit("iterationStart", run);
    const begin = clock.now();
    const loaded = await this.#batches!.load(position - 1);
    const waited = clock.now() - begin;
    const batch = hooks.change("batch", loaded, (callback, batch) => callback.batch(batch, run));

    const rows = rowsOf(batch);
    if (rows === 0) throw new DataError("a batch must have at least one row, received none");
    const lr = optimizer.paramGroups[0].lr;
    const making = this.#making = this.#make(this.#task(batch, i));
    if (i < settings.train.iterations) {
      this.#loadAhead(i + 1);
    }
    const { totals, times } = await making;
    run.timing.iteration(rows, clock.now() - begin, waited, times);
    if (totals.finite) await hooks.emit("updateEnd", run);

    if (i === settings.train.iterations || i % settings.log.interval === 0) {
      await hooks.record("train", { ...meters.take(), lr }, run);
    }
    await this.#evaluateAfter(i);
    this.intact = true;
  }

  /** The gradient of an iteration, and the update with it. */
  async #make(
    task: GradientTask,
  ): Promise<{ totals: Totals; times: Record<string, number> | undefined }> {
    const { engine, hooks, state } = this.#context;
    try {
      const gradient = await engine.gradient(task);
      state.iteration = task.iteration;
      this.intact = false;
      try {
        return { totals: await this.#update(gradient), times: gradient.takeTimes?.() };
      } catch (error) {
        // No update was made.
        this.intact = error instanceof NonFiniteError || error instanceof WorkerError;
        if (this.intact) state.iteration--;
        throw error;
      } finally {
        gradient.dispose();
        if (hooks.having("gradients").length > 0) sealGradients(gradient.grads);
      }
    } finally {
      this.#making = undefined;
    }
  }

  /** What the gradient of iteration `i` is taken of. */
  #task(batch: HostBatch, i: number): GradientTask {
    const { parts: { settings }, state, hooks } = this.#context;
    const bounds = leafBounds(rowsOf(batch), settings.train.batchSize, settings.shards);
    const random = this.#random.fork(i + (state.passed ?? 0));
    const untouched = hooks.having("gradients").length === 0;
    return { batch, bounds, iteration: i, random, untouched };
  }

  /**
   * Loads the batch of iteration `i`, and tells the engine, unless an evaluation comes between: its
   * data may be of the same data set, which gathers one batch after the other.
   */
  #loadAhead(i: number): void {
    const { parts, hooks, state, engine } = this.#context;
    if (this.#isValidatedAfter(i - 1) || isTested(parts, i - 1)) return;
    const position = i + (state.passed ?? 0) - 1;
    // A callback may keep a batch.
    if (hooks.having("batch").length > 0) return this.#batches!.loadAhead(position, () => {});
    const loaded = (batch: HostBatch): void => engine.foresee?.(this.#task(batch, i));
    this.#batches!.loadAhead(position, loaded, () => engine.allocator?.(i));
  }

  #isValidatedAfter(i: number): boolean {
    const { loaders, settings: { train, validation } } = this.#context.parts;
    return loaders.validation !== undefined &&
      (i % validation.interval === 0 || i === train.iterations);
  }

  /** The read, and the update with the scheduler's step unless the iteration is skipped. */
  async #update(gradient: IterationGradient): Promise<Totals> {
    const { run, parts, hooks, meters } = this.#context;
    const isMade = updateBeforeRead(gradient, run, hooks);
    const totals = await gradient.read();
    if (isMade) parts.optimizer.settle(totals.finite);
    if (!totals.finite) {
      this.#skip(totals);
      return totals;
    }
    const { lossSum, count, norm, metricSums } = totals;
    this.lastLoss = lossSum / count;
    this.lastGradNorm = norm;
    if (!isMade) await update(gradient, totals, run, hooks);
    meters.add(lossSum, count, norm, metricSums);
    if (parts.schedulerMonitor === undefined) parts.scheduler?.step();
    return totals;
  }

  /** A loss or gradient that is not finite: the run ends, or the iteration is skipped with a line. */
  #skip({ lossSum, count, norm }: Totals): void {
    const { state, state: { iteration }, parts: { settings, output } } = this.#context;
    const what = Number.isFinite(lossSum) ? "the gradient" : "the loss";
    if (settings.train.nonFinite !== "skip") {
      throw new NonFiniteError(
        iteration,
        `${what} is not finite (loss ${lossSum / count}, gradient norm ${norm}); ` +
          `lower the learning rate, clip, or set train.nonFinite to "skip"`,
      );
    }
    state.skipped++;
    output.line(`iteration ${iteration}: skipped, ${what} is not finite`);
  }

  /** Validation and test at their cadences, and the end of iteration `i`; all of it, or from what is pending. */
  async #evaluateAfter(i: number): Promise<void> {
    const { run, parts, hooks, state } = this.#context;
    const done = await unlessInterrupted(async () => {
      if (this.#isValidatedAfter(i) && state.pending !== "test") {
        state.pending = "val";
        await this.#validate();
      }
      if (isTested(parts, i)) {
        state.pending = "test";
        const values = await this.#evaluations.present("test");
        await hooks.record("test", values, run);
        await hooks.emit("testEnd", values, run);
      }
      return true;
    });
    if (done === undefined) return;
    delete state.pending;
    await hooks.emit("iterationEnd", run);
  }

  /** Validation, the best value and its weights, and what follows a validation. */
  async #validate(): Promise<void> {
    const { run, parts, hooks } = this.#context;
    if (parts.loaders.validation === undefined) return;
    const values = await this.#evaluations.present(
      "validation",
      (values) => keepIfBest(this.#context, values),
    );
    await hooks.record("val", values, run);
    const { scheduler, schedulerMonitor } = parts;
    if (schedulerMonitor !== undefined) {
      scheduler?.step(values[schedulerMonitor.replace(/^val\//, "")]);
    }
    await hooks.emit("validationEnd", values, run);
  }
}
