/** A worker's part of a gradient: chunks of leaves, then its slices of their sum. */
import { RandomStream } from "../core/random.ts";
import { addTreeSquares } from "../fuse/tree_squares.ts";
import { addTree } from "../fuse/tree_sum.ts";
import { BLOCK, squareBlocksMemory } from "../optim/block_sums.ts";
import { BinaryCounter } from "../runner/binary_counter.ts";
import type { PassParts } from "../runner/leaf_gradient.ts";
import { type LeafSum, sumLeaves } from "../runner/leaves.ts";
import * as tf from "../tensor/tf.ts";
import type { Arena } from "./arena.ts";
import { batchIn } from "./batch_places.ts";
import { HEADER } from "./layout.ts";
import type { Slice } from "./ownership.ts";
import type { GradientMessage, Turn } from "./protocol.ts";
import { store, storeFloats } from "./state_access.ts";

/** What a gradient is computed with. */
export interface GradientWork {
  readonly arena: Arena;
  readonly worker: number;
  readonly pass: PassParts;
  readonly slices: readonly Slice[];
  readonly batch: SharedArrayBuffer;
  /** Gives the model's buffers their values at the start of the iteration. */
  resetBuffers(): void;
}

/**
 * Takes chunks of command `command` until none is left, waits for the other workers, and adds up its
 * slices; stops anywhere if the workers are to leave.
 */
export async function computeGradient(
  work: GradientWork,
  command: number,
  message: GradientMessage,
): Promise<void> {
  const { arena, worker } = work;
  const { turn } = message;
  const batch = batchIn(work.batch, message.fields);
  for (const [name, variable] of Object.entries(work.pass.model.parameters)) {
    variable.trainable = !message.frozen.includes(name);
  }
  const random = new RandomStream(...message.random);
  const { bounds, chunks } = message;
  const begin = performance.now();
  for (let chunk; (chunk = arena.take(command)) < chunks.length && !arena.isLeft;) {
    work.resetBuffers();
    const [from, to] = chunks[chunk];
    const sum = await sumLeaves(work.pass, batch, bounds, message.iteration, random, { from, to });
    try {
      await storeChunk(work, turn, chunk, sum, message.metricsAt, bounds[from][0]);
    } finally {
      tf.dispose(Object.values(sum.grads));
      tf.dispose([sum.lossSum, sum.count, sum.metricSums, sum.moved] as tf.TensorContainer);
    }
    arena.beat(worker);
  }
  const computed = performance.now();
  if (!arena.meet(worker, command)) return;
  const met = performance.now();
  for (const slice of work.slices) reduce(arena, turn, slice, chunks.length);
  if (worker === 0 && bounds.length > 1) reduceBuffers(arena, chunks.length);
  arena.times.spend(worker, "computeMs", computed - begin);
  arena.times.spend(worker, "barrierMs", met - computed);
  arena.times.spend(worker, "reduceMs", performance.now() - met);
}

/** Writes a chunk's sum, and the metric sums of its rows, which begin with row `row`. */
async function storeChunk(
  { arena, pass: { model }, batch }: GradientWork,
  turn: Turn,
  chunk: number,
  sum: LeafSum,
  metricsAt: number,
  row: number,
): Promise<void> {
  const { layout } = arena;
  const at = arena.chunkAt(chunk);
  const present = arena.presentIn(chunk, turn);
  for (let g = 0; g < layout.gradients.length; g++) {
    const gradient = sum.grads[layout.gradients[g].name];
    present[g] = Number(gradient !== undefined);
    if (gradient !== undefined) await storeFloats(arena, arena.gradientAt(chunk, g), gradient);
  }
  const buffers = Object.values(model.buffers ?? {});
  let moved = 0;
  for (let b = 0; b < buffers.length; b++) {
    const place = layout.buffers[b];
    await store(arena, at + place.last, buffers[b]);
    if (place.moved !== undefined && sum.moved.length > 0) {
      await store(arena, at + place.moved, sum.moved[moved++]);
    }
  }
  const header = arena.headerOf(chunk, turn);
  const isNumber = typeof sum.count === "number";
  header[HEADER.loss] = (await sum.lossSum.data())[0];
  header[HEADER.count] = isNumber
    ? sum.count as number
    : (await (sum.count as tf.Tensor).data())[0];
  header[HEADER.countIsTensor] = Number(!isNumber);
  if (sum.metricSums !== undefined) {
    const width = sum.metricSums.shape[1] as number;
    const rows = new Float32Array(batch, metricsAt + 4 * row * width, sum.metricSums.size);
    rows.set(await sum.metricSums.data() as Float32Array);
  }
}

/** Adds the chunks of a slice into chunk 0, in the tree of the leaves, and takes the sums of squares. */
function reduce(
  arena: Arena,
  turn: Turn,
  { gradient, start, end }: Slice,
  chunks: number,
): void {
  const places: (number | undefined)[] = [];
  for (let chunk = 0; chunk < chunks; chunk++) {
    const isThere = arena.presentIn(chunk, turn)[gradient] === 1;
    places.push(isThere ? arena.gradientAt(chunk, gradient) + 4 * start : undefined);
  }
  const target = arena.gradientAt(0, gradient) + 4 * start;
  const { memory, doubles, layout } = arena;
  const count = end - start;
  const squares = arena.squaresAt(turn) / 8 + layout.gradients[gradient].block + start / BLOCK;
  if (places.length > 1 && places.every((place) => place !== undefined)) {
    return addTreeSquares(memory, places as number[], target, count, doubles, squares);
  }
  if (!addPresent(arena, places, target, count)) return;
  squareBlocksMemory(memory, target, count, doubles, squares);
}

/** Adds what the chunks' buffers moved into chunk 0. */
function reduceBuffers(arena: Arena, chunks: number): void {
  for (const { moved, tensor } of arena.layout.buffers) {
    if (moved === undefined || chunks === 1) continue;
    const places = Array.from({ length: chunks }, (_, chunk) => arena.chunkAt(chunk) + moved);
    addTree(arena.memory, places, places[0], arena.layout.tensors[tensor].size);
  }
}

/** The same where some chunks lack the gradient: what only one side of a sum has is taken as it is. */
function addPresent(
  arena: Arena,
  places: (number | undefined)[],
  target: number,
  count: number,
): boolean {
  const tree = new BinaryCounter<number | undefined>((a, b) => {
    if (a === undefined || b === undefined) return a ?? b;
    addTree(arena.memory, [a, b], a, count);
    return a;
  });
  places.forEach((place) => tree.push(place));
  const sum = tree.total();
  if (sum === undefined) return false;
  if (sum !== target) arena.floatsAt(target, count).set(arena.floatsAt(sum, count));
  return true;
}
