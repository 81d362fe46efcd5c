/** What a worker thread offers to the coordinator, through comlink. */
import { evaluationRandom, localLanes } from "../runner/evaluate.ts";
import type { Split } from "../runner/engine.ts";
import type * as tf from "../tensor/tf.ts";
import { Arena } from "./arena.ts";
import { batchIn } from "./batch_places.ts";
import { sendNews } from "./endpoint.ts";
import { computeGradient, type GradientWork } from "./gradient_work.ts";
import { modelVariables } from "./layout.ts";
import { read } from "./mailbox.ts";
import { slicesOf } from "./ownership.ts";
import {
  type GradientMessage,
  type PlacedBatch,
  UPDATE,
  type UpdateMessage,
  type WorkerSetup,
} from "./protocol.ts";
import { load } from "./state_access.ts";
import { computeUpdate, type UpdateWork, updateWork } from "./update_work.ts";
import { buildWorkerParts, type WorkerParts } from "./worker_parts.ts";

/**
 * A worker. `init` once; then `run`, which is the loop over commands in shared memory and hears no
 * messages, and between two runs evaluations.
 */
export class TrainWorker {
  #setup!: WorkerSetup;
  #arena!: Arena;
  #parts!: WorkerParts;
  #variables!: readonly tf.Variable[];
  #gradient!: GradientWork;
  #update!: UpdateWork;

  /** Answers "pong" when the worker hears messages. */
  ping(): string {
    return "pong";
  }

  /** Builds everything that is computed with. */
  async init(setup: WorkerSetup): Promise<void> {
    const { spec, memory, layout, index: worker, batch } = setup;
    const arena = new Arena(memory, layout);
    const alive = () => arena.beat(worker);
    alive();
    const parts = await buildWorkerParts(spec, alive);
    const slices = slicesOf(layout, worker);
    const { pass, optimizer } = parts;
    this.#setup = setup;
    this.#arena = arena;
    this.#parts = parts;
    this.#variables = this.#variablesOf();
    const resetBuffers = () =>
      this.#load(arena.current, layout.buffers.map(({ tensor }) => tensor));
    this.#gradient = { arena, worker, pass, slices, batch, resetBuffers };
    this.#update = updateWork(arena, worker, optimizer, slices);
  }

  /** Looks for batches there from now on. */
  takeBatch(batch: SharedArrayBuffer): void {
    this.#gradient = { ...this.#gradient, batch };
  }

  /** Obeys commands until it is told to leave; an error ends it, and with it the team. */
  async run(): Promise<void> {
    const { index } = this.#setup;
    const arena = this.#arena;
    try {
      for (let command = arena.finished + 1;; command++) {
        const kind = arena.nextCommand(index, command);
        if (kind === undefined) return;
        arena.beat(index);
        const updated = await this.#obey(kind, command);
        if (arena.isLeft) return;
        const isLast = arena.done(index, command, updated);
        if (isLast && Atomics.waitAsync === undefined) sendNews();
      }
    } catch (error) {
      arena.fail(index);
      sendNews();
      throw error;
    }
  }

  /** Does the worker's part of a command; answers whether it wrote an update. */
  async #obey(kind: number, command: number): Promise<boolean> {
    const { index } = this.#setup;
    const arena = this.#arena;
    const begin = performance.now();
    if (kind === UPDATE) {
      const updated = await computeUpdate(this.#update, read<UpdateMessage>(arena, command));
      arena.times.spend(index, "updateMs", performance.now() - begin);
      return updated;
    }
    this.#load(arena.current, arena.layout.tensors.keys());
    arena.times.spend(index, "loadMs", performance.now() - begin);
    await computeGradient(this.#gradient, command, read<GradientMessage>(arena, command));
    return false;
  }

  /** Takes over the weights of the next side, where the coordinator has put those to be evaluated. */
  startEvaluation(): void {
    this.#load(this.#arena.next, this.#arena.layout.tensors.keys());
  }

  /** Loss sum, count, and the metric sums of every row of a batch that begins at sample `position`. */
  async evaluate(
    split: Split,
    { buffer, fields }: PlacedBatch,
    position: number,
  ): Promise<ArrayLike<number>> {
    const { pass, metrics } = this.#parts;
    const { spec, index } = this.#setup;
    // Batches queue up here; each of them is a sign of life.
    this.#arena.beat(index);
    const lanes = localLanes(
      { ...pass, metrics: metrics[split] },
      evaluationRandom(spec.seed, split),
    );
    return await lanes.run(batchIn(buffer, fields), position);
  }

  /** The model's variables in the order of the layout. */
  #variablesOf(): tf.Variable[] {
    const variables = modelVariables(this.#parts.pass.model);
    return this.#arena.layout.tensors.map(({ name, shape }) => {
      const variable = variables.get(name);
      if (variable?.shape.join() !== shape.join()) {
        throw new Error(
          `the worker's model has no ${name} of shape [${shape}]: it must be built alike in every thread`,
        );
      }
      return variable;
    });
  }

  #load(side: number, tensors: Iterable<number>): void {
    const { layout } = this.#arena;
    for (const i of tensors) {
      const place = layout.tensors[i];
      load(this.#arena, side + place.at, place, this.#variables[i]);
    }
  }
}
