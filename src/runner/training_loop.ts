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
import type { Phase, Values } from "./record.ts";
import type { FinishReason, Untold } from "./state.ts";
import { TrainingBatches } from "./training_batches.ts";
import { update, updateBeforeRead } from "./update.ts";

/** What the making of an iteration tells. */
interface Made {
  readonly totals: Totals;
  /** Milliseconds by what they were spent on, where workers tell. */
  readonly times: Record<string, number> | undefined;
}

/** What may follow an update, in order. */
const PHASES = ["train", "val", "test", "end"] as const;

/** The iterations of a run. */
export class TrainingLoop {
  /** Why the run is to end after the current iteration. */
  stopping: FinishReason | undefined;
  /** Whether the state is that of the end of an iteration; false in the middle of one. */
  intact = true;
  /** What broke an iteration off in the middle: the state is of none, until another is restored. */
  broken: { readonly error: unknown } | undefined;
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
    this.stopping ??= state.finished;
    this.#start();
    // There is to be a checkpoint to go back to.
    if (typeof nonFinite === "object" && state.anchor === undefined) {
      await this.#context.saveAtCadence();
    }
    await unlessInterrupted(() => this.#evaluations.sanityCheck());
    // A checkpoint may be of the middle of an iteration.
    let isWhole = false;
    while (!isWhole || (state.iteration < iterations && this.stopping === undefined)) {
      try {
        if (isWhole) await this.#iterate(state.iteration + 1);
        else await this.#finishIteration();
        isWhole = true;
        saver.check();
      } catch (error) {
        // They make a whole update or none, and an evaluation is pending until it is done.
        if (error instanceof WorkerError) this.intact = true;
        if (!await this.#rollBack(error)) throw error;
        isWhole = false;
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

  /** Whether something of the last iteration is still to be done. */
  get hasRest(): boolean {
    const { pending, untold } = this.#context.state;
    return pending !== undefined || untold !== undefined;
  }

  /** Another state has been restored, which knows nothing of what went wrong in this one. */
  renew(): void {
    this.intact = true;
    this.broken = undefined;
  }

  /** Settles with the gradient and the update that are being made: until then the state is of two iterations. */
  get making(): Promise<unknown> | undefined {
    return this.#making;
  }

  /** Back to the last checkpoint, if the error is one of `nonFinite` and the policy says so. */
  async #rollBack(error: unknown): Promise<boolean> {
    const { run, parts: { settings, output }, hooks, state, goBack } = this.#context;
    const { nonFinite } = settings.train;
    const { rollbacks = 0, passed = 0, best, anchor } = state;
    if (!(error instanceof NonFiniteError) || typeof nonFinite !== "object") return false;
    if (rollbacks >= nonFinite.rollback || anchor === undefined) return false;
    // A data set may still be writing where other batches will be put.
    await this.#batches?.settle();
    const back = error.iteration - anchor;
    await goBack(anchor, { rollbacks: rollbacks + 1, passed: passed + back, best });
    output.line(
      `${error.message.split(";")[0]}: going back to iteration ${state.iteration} and on with ` +
        `other batches (${rollbacks + 1} of ${nonFinite.rollback})`,
    );
    await hooks.emit("trainStart", run);
    this.#start();
    return true;
  }

  /** What a checkpoint has left of its iteration. */
  async #finishIteration(): Promise<void> {
    await this.#tellRest();
    if (this.#context.state.pending !== undefined) await this.#endIteration();
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
    meters.lr = optimizer.paramGroups[0].lr;
    const making = this.#making = this.#make(this.#task(batch, i));
    let made: Made;
    try {
      if (i < settings.train.iterations) this.#loadAhead(i + 1);
      made = await making;
    } finally {
      this.#making = undefined;
    }
    run.timing.iteration(rows, clock.now() - begin, waited, made.times);
    if (made.totals.finite) await this.#tell("updateEnd");
    await this.#endIteration();
    this.intact = true;
  }

  /** The gradient of an iteration, and the update with it. */
  async #make(task: GradientTask): Promise<Made> {
    const { engine, hooks, state } = this.#context;
    const gradient = await engine.gradient(task);
    state.iteration = task.iteration;
    this.intact = false;
    let isSkipped = false;
    try {
      const totals = await this.#update(gradient);
      isSkipped = !totals.finite;
      if (isSkipped) this.#skip(totals);
      this.#pend();
      return { totals, times: gradient.takeTimes?.() };
    } catch (error) {
      // No update was made.
      this.intact = isSkipped || error instanceof WorkerError;
      if (this.intact) state.iteration--;
      else this.broken = { error };
      throw error;
    } finally {
      gradient.dispose();
      if (hooks.having("gradients").length > 0) sealGradients(gradient.grads);
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
    const { hooks, state, engine } = this.#context;
    if (this.#isDue("val", i - 1) || this.#isDue("test", i - 1)) return;
    const position = i + (state.passed ?? 0) - 1;
    // A callback may keep a batch.
    if (hooks.having("batch").length > 0) return this.#batches!.loadAhead(position, () => {});
    const loaded = (batch: HostBatch): void => engine.foresee?.(this.#task(batch, i));
    this.#batches!.loadAhead(position, loaded, () => engine.allocator?.(i));
  }

  /** The read, and the update with the scheduler's step unless the iteration is skipped. */
  async #update(gradient: IterationGradient): Promise<Totals> {
    const { run, parts, hooks, meters, state } = this.#context;
    const isMade = updateBeforeRead(gradient, run, hooks);
    const totals = await gradient.read();
    if (isMade) parts.optimizer.settle(totals.finite);
    if (!totals.finite) return totals;
    const { lossSum, count, norm, metricSums } = totals;
    state.lastLoss = lossSum / count;
    state.lastGradNorm = norm;
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

  /** Whether something follows the update of iteration `i`. */
  #isDue(phase: Phase | "end", i: number): boolean {
    const { parts, parts: { loaders, settings: { train, log, validation } } } = this.#context;
    const isLast = i === train.iterations;
    switch (phase) {
      case "train":
        return isLast || i % log.interval === 0;
      case "val":
        return loaders.validation !== undefined && (isLast || i % validation.interval === 0);
      case "test":
        return isTested(parts, i);
      case "end":
        return true;
    }
  }

  /** Notes what follows the update next, after what is `done`. */
  #pend(done?: Phase): void {
    const { state } = this.#context;
    const left = PHASES.slice(done === undefined ? 0 : PHASES.indexOf(done) + 1);
    state.pending = left.find((phase) => this.#isDue(phase, state.iteration))!;
  }

  /** What is pending after an update; a signal breaks it off. */
  async #endIteration(): Promise<void> {
    const { state } = this.#context;
    await unlessInterrupted(async () => {
      for (const phase of PHASES) {
        if (state.pending !== phase) continue;
        if (phase === "end") {
          delete state.pending;
          await this.#tell("iterationEnd");
        } else if (!this.#isDue(phase, state.iteration)) {
          // A resumed run may have another cadence.
          this.#pend(phase);
        } else if (phase === "train") await this.#record();
        else if (phase === "val") await this.#validate();
        else await this.#test();
      }
    });
  }

  /**
   * Tells the callbacks of an event, one after the other. A checkpoint that one of them makes keeps who has
   * yet to hear.
   */
  async #tell(event: Untold["event"], values?: Values): Promise<void> {
    const { hooks, state } = this.#context;
    state.untold = { event, values, callbacks: hooks.having(event).map(({ name }) => name) };
    await this.#tellRest();
  }

  /** Tells those that have yet to hear. */
  async #tellRest(): Promise<void> {
    const { run, hooks, state } = this.#context;
    if (state.untold === undefined) return;
    const { event, values, callbacks } = state.untold;
    const left = new Set(callbacks);
    for (const callback of hooks.having(event).filter(({ name }) => left.has(name))) {
      left.delete(callback.name);
      state.untold = { event, values, callbacks: [...left] };
      if (left.size === 0) delete state.untold;
      const done = hooks.call(callback, event, values === undefined ? [run] : [values, run]);
      if (done !== undefined) await done;
    }
    delete state.untold;
  }

  /** The record of the training since the last one. */
  async #record(): Promise<void> {
    const { run, hooks, meters } = this.#context;
    await hooks.record("train", meters.values(), run, () => {
      meters.reset();
      this.#pend("train");
    });
  }

  /** Validation, the best value and its weights, and what follows a validation. */
  async #validate(): Promise<void> {
    const { run, parts: { scheduler, schedulerMonitor }, hooks } = this.#context;
    const values = await this.#evaluations.present(
      "validation",
      (values) => keepIfBest(this.#context, values),
    );
    await hooks.record("val", values, run, () => {
      if (schedulerMonitor !== undefined) {
        scheduler?.step(values[schedulerMonitor.replace(/^val\//, "")]);
      }
      this.#pend("val");
      return this.#tell("validationEnd", values);
    });
  }

  async #test(): Promise<void> {
    const { run, hooks } = this.#context;
    const values = await this.#evaluations.present("test");
    await hooks.record("test", values, run, () => {
      this.#pend("test");
      return this.#tell("testEnd", values);
    });
  }
}
