/**
 * A run whose gradients, updates and evaluations are computed by workers.
 *
 * The workers go through a queue of commands, so that they need not wait for this thread: where no
 * callback looks at a gradient its update follows at once, and where nothing comes between two
 * iterations the gradient of the next follows the update. What was begun too early is given up; it has
 * changed nothing.
 */
import { unreachable, WorkerError } from "../core/errors.ts";
import { batchSize } from "../data/batch.ts";
import type { Allocate } from "../data/dataset.ts";
import type {
  CopiedOptimizerState,
  Engine,
  EvaluationLanes,
  GradientTask,
  IterationGradient,
  Split,
} from "../runner/engine.ts";
import { sealGradients, type Totals, totalsOf } from "../runner/gradients.ts";
import { type Bounds, chunkBounds } from "../runner/leaves.ts";
import { allocateIn, type BatchRoom, placesOf, putBatch } from "./batch_places.ts";
import { Crew, type CrewParts, type Needs } from "./crew.ts";
import { copyGradient } from "./gradient_copy.ts";
import { encodeMessage } from "./mailbox.ts";
import { type GradientChanges, OpenGradients } from "./open_gradients.ts";
import { addTimes, type PhaseTimes } from "./phase_times.ts";
import {
  type GivenUpdate,
  GRADIENT,
  type GradientMessage,
  type Turn,
  UPDATE,
  type UpdateMessage,
} from "./protocol.ts";
import { storeFloats } from "./state_access.ts";
import { LostWorker, type Team } from "./team.ts";
import { type ChunkTotals, chunkTotals } from "./totals.ts";
import { WorkerEvaluation } from "./worker_evaluation.ts";

/** What a worker engine is made of. */
export interface WorkerEngineParts extends CrewParts {
  readonly shards: number;
  /** Those of a whole batch. */
  readonly leaves: number;
  /** Sums that the metrics of a training batch take for each row. */
  readonly metricWidth: number;
}

/** A gradient that a team was asked for. */
interface Asked {
  readonly task: GradientTask;
  readonly team: Team;
  /** The number of the command. */
  readonly command: number;
  readonly message: GradientMessage;
}

/** What came of it. */
interface Computed extends Pick<ChunkTotals, "present"> {
  readonly asked: Asked;
  readonly totals: Totals;
  readonly times: PhaseTimes;
}

/** A message, and what the shared memory must have for it. */
interface Encoded {
  readonly message: GradientMessage;
  readonly encoded: Uint8Array;
  readonly needs: Needs;
}

/** Bytes of a mailbox for numbers that come and go. */
const ROOM = 256;
/** Characters of a number, as in -1.2345678901234567e-308. */
const DIGITS = 24;

/** Computes in workers. */
export class WorkerEngine implements Engine {
  readonly workers: number;
  readonly #parts: WorkerEngineParts;
  readonly #crew: Crew;
  /** The iteration of the last update that was asked for. */
  #updated: number | undefined;
  /** What comes next, and, once it is begun, what was asked for. */
  #foreseen: GradientTask | undefined;
  #ahead: Asked | undefined;
  /** Whether one that is given up may still write into its half of the batches. */
  #isLeaving = false;

  constructor(parts: WorkerEngineParts) {
    this.workers = parts.workers;
    this.#parts = parts;
    this.#crew = new Crew(parts, chunkBounds(parts.leaves, parts.shards).length);
  }

  set firstLimitMs(ms: number) {
    this.#crew.firstLimitMs = ms;
  }

  set onRestart(tell: () => void) {
    this.#crew.onRestart = tell;
  }

  async gradient(task: GradientTask): Promise<IterationGradient> {
    const computed = await this.#crew.surviving(() => this.#compute(task), whereOf(task));
    return task.untouched ? this.#applied(computed) : this.#open(computed);
  }

  foresee(task: GradientTask): void {
    this.#foreseen = task;
    this.#goOn();
  }

  allocator(iteration: number): Allocate | undefined {
    const { team } = this.#crew;
    if (this.#isLeaving) return undefined;
    return team && allocateIn(roomOf(team, turnOf(iteration)));
  }

  async evaluation(split: Split): Promise<EvaluationLanes> {
    this.#forget();
    return await WorkerEvaluation.begin(this.#crew, split, this.workers);
  }

  pull(): void {
    this.#crew.state.pull();
  }

  push(): void {
    this.#crew.state.giveUp();
  }

  async optimizerState(): Promise<CopiedOptimizerState> {
    return await this.#crew.state.optimizerState();
  }

  async rest(): Promise<void> {
    this.#forget();
    await this.#crew.rest();
  }

  dispose(): void {
    this.#forget();
    this.#crew.dispose();
  }

  /** Has the workers compute and add up the gradients of a batch, and, if nobody looks, update. */
  async #compute(task: GradientTask): Promise<Computed> {
    const asked = await this.#ask(task);
    const { team, command, message } = asked;
    const { turn, chunks: { length: chunks } } = message;
    const { commits } = team.arena;
    if (task.untouched) {
      this.#parts.optimizer.resolve({});
      await this.#crew.state.storeFirst();
      await this.#whole(task, team, this.#askUpdate(asked), commits);
    } else {
      await this.#finish(team, command);
    }
    const { lossSum, count, square, present } = chunkTotals(team.arena, turn, chunks);
    const { metricWidth } = this.#parts;
    const { bounds } = task;
    const rows = bounds[bounds.length - 1][1] - bounds[0][0];
    const metrics = new Float32Array(team.batch, message.metricsAt, rows * metricWidth);
    const totals = totalsOf(lossSum, count, square, metrics, metricWidth);
    if (!task.untouched && totals.finite) {
      this.#crew.state.takeBuffers({ chunks, averagedOver: averagedOver(bounds) });
    }
    return { asked, present, totals, times: this.#timesOf(team) };
  }

  /** A gradient whose update is made. */
  #applied({ totals, times }: Computed): IterationGradient {
    return {
      grads: {},
      isApplied: true,
      takeTimes: () => ({ ...times }),
      read: () => Promise.resolve(totals),
      apply: () => unreachable("an update was made before"),
      dispose: () => {},
    };
  }

  /** A gradient that callbacks may look at, and the update that the workers can make with it. */
  #open({ asked, present, totals, times }: Computed): IterationGradient {
    const gradients = new OpenGradients(asked.team.arena, present);
    let all = times;
    return {
      grads: gradients.grads,
      takeTimes: () => ({ ...all }),
      read: () => Promise.resolve(totals),
      apply: async ({ grads, scale }) => {
        const changes = gradients.changes(grads);
        // The workers may come to the next ones while this is awaited.
        sealGradients(gradients.grads);
        const more = await this.#apply(asked, scale, changes);
        all = addTimes(times, more);
      },
      dispose: () => gradients.dispose(),
    };
  }

  /** The update with what callbacks have made of the gradients. */
  async #apply(asked: Asked, scale: number, { given, kept }: GradientChanges): Promise<PhaseTimes> {
    const { task } = asked;
    const crew = this.#crew;
    const replaced = this.#parts.optimizer.resolve(given);
    const there = new Set([...kept, ...replaced.keys()]);
    let now = asked;
    const make = async (): Promise<PhaseTimes> => {
      // Callbacks may have set options that need more state than there is room for.
      if (now.team !== crew.team || !crew.suffices(this.#updateNeeds())) {
        now = await this.#handOver(now);
      }
      const { arena } = now.team;
      // What a callback has set meanwhile.
      await crew.state.leaveHome(arena);
      await crew.state.storeFirst(there);
      const { gradients } = arena.layout;
      for (const [g, { name }] of gradients.entries()) {
        const gradient = replaced.get(name);
        if (gradient === undefined) continue;
        await storeFloats(arena, arena.gradientAt(0, g), gradient);
      }
      const absent = gradients.flatMap(({ name }, g) => there.has(name) ? [] : [g]);
      const { commits } = arena;
      await this.#whole(task, now.team, this.#askUpdate(now, { scale, absent }), commits);
      return this.#timesOf(now.team);
    };
    try {
      return await crew.surviving(make, whereOf(task));
    } catch (error) {
      if (error instanceof WorkerError) crew.state.putBack();
      throw error;
    }
  }

  /** Gives another team the gradient of one that is gone or goes: callbacks may have set what it was computed from. */
  async #handOver(asked: Asked): Promise<Asked> {
    this.#forget();
    const team = await this.#crew.ready(this.#updateNeeds());
    copyGradient(asked.team.arena, team.arena);
    return { ...asked, team };
  }

  /** Milliseconds spent since the last call, which are what an iteration may take. */
  #timesOf({ arena }: Team): PhaseTimes {
    const times = arena.times.take();
    this.#crew.took("iteration", Object.values(times).reduce((a, b) => a + b));
    return times;
  }

  /** The gradient of a task asked for, now or before. */
  async #ask(task: GradientTask): Promise<Asked> {
    const crew = this.#crew;
    const ahead = this.#ahead;
    this.#forget();
    if (ahead !== undefined && ahead.team === crew.team) {
      if (this.#isSame(ahead, task)) return ahead;
      this.#isLeaving = true;
      await crew.within("iteration", (limit) => ahead.team.leave(limit));
    }
    // Where the data set has put the batch counts: it may have left gaps.
    const team = await crew.ready(this.#messageOf(task, crew.team).needs);
    this.#isLeaving = false;
    return this.#send(task, team, this.#messageOf(task, team));
  }

  /** Nothing is foreseen any more. */
  #forget(): void {
    this.#ahead = undefined;
    this.#foreseen = undefined;
    this.#updated = undefined;
  }

  /** Whether what was begun is what is asked for now. */
  #isSame({ task, team, message }: Asked, now: GradientTask): boolean {
    return now.batch === task.batch && now.iteration === task.iteration &&
      String(now.bounds) === String(task.bounds) &&
      String(now.random.key) === String(message.random) &&
      String(this.#frozen()) === String(message.frozen) &&
      this.#crew.state.isAwayIn(team.arena) &&
      this.#crew.suffices(this.#updateNeeds());
  }

  /** Begins with what comes next, if the update before it was asked for and nothing is to be prepared. */
  #goOn(): void {
    const task = this.#foreseen;
    const { team, state } = this.#crew;
    if (task === undefined || team === undefined || this.#updated !== task.iteration - 1) return;
    const message = this.#messageOf(task, team);
    if (!state.isAwayIn(team.arena) || !this.#crew.suffices(message.needs)) return;
    this.#foreseen = undefined;
    this.#ahead = this.#send(task, team, message);
  }

  #send(task: GradientTask, team: Team, { message, encoded }: Encoded): Asked {
    putBatch(task.batch, message.fields, team.batch);
    return { task, team, message, command: team.command(GRADIENT, encoded) };
  }

  /** What a team is told, and what it needs for it and for the update that follows. */
  #messageOf({ batch, bounds, iteration, random }: GradientTask, team?: Team): Encoded {
    const { shards, metricWidth } = this.#parts;
    const turn = turnOf(iteration);
    const room = team && roomOf(team, turn);
    const { bytes, ...places } = placesOf(batch, batchSize(batch) * metricWidth, room);
    const chunks = chunkBounds(bounds.length, shards);
    const frozen = this.#frozen();
    const message = { iteration, turn, random: random.key, bounds, chunks, frozen, ...places };
    const encoded = encodeMessage(message);
    const mailboxBytes = Math.max(ROOM + encoded.length, this.#updateNeeds().mailboxBytes);
    return { message, encoded, needs: { batchBytes: bytes, mailboxBytes, chunks: chunks.length } };
  }

  /** What an update needs beside its gradient. */
  #updateNeeds(): Needs {
    return { batchBytes: 0, mailboxBytes: ROOM + this.#groups().bytes, chunks: 0 };
  }

  #frozen(): string[] {
    const { parameters } = this.#parts.model;
    return Object.keys(parameters).filter((name) => !parameters[name].trainable);
  }

  /** The update with what was asked for, as it is or with what callbacks have made of it. */
  #askUpdate({ task, team, message }: Asked, given?: GivenUpdate): number {
    const { bounds, iteration } = task;
    const update: UpdateMessage = {
      turn: message.turn,
      chunks: message.chunks.length,
      given,
      groups: this.#groups().groups,
      averagedOver: averagedOver(bounds),
    };
    const command = team.command(UPDATE, encodeMessage(update));
    this.#updated = iteration;
    this.#goOn();
    return command;
  }

  async #finish(team: Team, command: number): Promise<void> {
    await this.#crew.within("iteration", (limit) => team.finish(command, limit));
  }

  /**
   * Waits for an update that comes after `commits` others. Once it is whole it stays, also if a worker is
   * lost over what comes next; it is none if loss or gradient is not finite.
   */
  async #whole(task: GradientTask, team: Team, command: number, commits: number): Promise<void> {
    const { era } = this.#crew;
    try {
      await this.#finish(team, command);
    } catch (error) {
      if (!(error instanceof LostWorker)) throw error;
      team.arena.close();
      if (team.arena.commits === commits) throw error;
      await this.#crew.replace(error, whereOf(task));
    }
    // What is not noted has not been.
    this.#crew.refuseOver(era);
    if (team.arena.commits !== commits) this.#crew.state.noteUpdate();
  }

  /** The options of each group, without the names of what it holds, and a number for each parameter. */
  #groups(): { groups: Record<string, unknown>[]; bytes: number } {
    const { model, optimizer } = this.#parts;
    const groups = optimizer.paramGroups.map(({ names: _, ...options }) => options);
    const { length } = encodeMessage(groups);
    let numbers = 0;
    JSON.stringify(groups, (_, value) => {
      if (typeof value === "number") numbers++;
      return value;
    });
    // Callbacks may set rates, whose digits are at most so many, and gradients.
    const bytes = length + DIGITS * numbers +
      8 * Object.keys(model.parameters).length;
    return { groups, bytes };
  }
}

/** Rows of all leaves; 0 if there is one leaf, whose buffers stay as they are. */
function averagedOver(bounds: Bounds): number {
  if (bounds.length === 1) return 0;
  return bounds.reduce((sum, [start, end]) => sum + end - start, 0);
}

function turnOf(iteration: number): Turn {
  return iteration % 2 as Turn;
}

/** Where the batches of every other iteration are put. */
function roomOf({ batch: buffer }: Team, turn: Turn): BatchRoom {
  const half = buffer.byteLength / 2;
  return { buffer, start: turn * half, end: (turn + 1) * half };
}

function whereOf({ iteration }: GradientTask): string {
  return `iteration ${iteration}: `;
}
