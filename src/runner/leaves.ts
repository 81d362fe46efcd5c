/**
 * The leaves of an iteration: its batch is cut into micro-batches times shards, each leaf gives the
 * gradient of its loss SUM, and the leaves are added in a fixed binary tree. So accumulation, shards
 * and one big batch give the same numbers up to rounding, and wherever the leaves are computed, the
 * same bits.
 */
import type { RandomStream } from "../core/random.ts";
import { sliceBatch } from "../data/batch.ts";
import type { HostBatch } from "../data/dataset.ts";
import type { Model } from "../model/model.ts";
import * as tf from "../tensor/tf.ts";
import { BinaryCounter } from "./binary_counter.ts";
import { leafGradient, type PassParts } from "./leaf_gradient.ts";

/** Rows [start, end) of every leaf, in the order they are added. */
export type Bounds = readonly (readonly [start: number, end: number])[];

/** A sum over leaves; tensors stay on the device, the caller disposes them. */
export interface LeafSum {
  /** By parameter name; parameters not reached are absent. */
  readonly grads: Record<string, tf.Tensor>;
  readonly lossSum: tf.Tensor;
  /** Items: a number where the loss knows it without looking at values. */
  readonly count: tf.Tensor | number;
  /** The sums of all training metrics, [rows, sums]; undefined when there are none. */
  readonly metricSums: tf.Tensor | undefined;
  /**
   * How much each of {@link averagedBuffers} moved in a leaf, times its rows; empty when the iteration
   * has one leaf. (Sums of values would wear off those that do not move, such as frozen weights.)
   */
  readonly moved: readonly tf.Tensor[];
}

/** The leaves of a batch of `rows`. */
export function leafBounds(rows: number, microBatch: number, shards: number): [number, number][] {
  const bounds: [number, number][] = [];
  for (let micro = 0; micro < rows; micro += microBatch) {
    const n = Math.min(microBatch, rows - micro);
    for (let shard = 0; shard < shards; shard++) {
      const start = micro + Math.floor(shard * n / shards);
      const end = micro + Math.floor((shard + 1) * n / shards);
      if (end > start) bounds.push([start, end]);
    }
  }
  return bounds;
}

/**
 * Subtrees of the tree over `leaves`, [first, end) each: 2^k leaves, the last perhaps fewer, with the
 * largest k that leaves at least min(leaves, shards) of them.
 */
export function chunkBounds(leaves: number, shards: number): [number, number][] {
  const least = Math.min(leaves, shards);
  let size = 1;
  while (Math.ceil(leaves / (2 * size)) >= least && size < leaves) size *= 2;
  const chunks: [number, number][] = [];
  for (let from = 0; from < leaves; from += size) {
    chunks.push([from, Math.min(leaves, from + size)]);
  }
  return chunks;
}

/** The buffers that leaves move on their own and that combine weighted by rows: all that are float. */
export function averagedBuffers({ buffers = {} }: Model): tf.Variable[] {
  return Object.values(buffers).filter(({ dtype }) => dtype === "float32");
}

/**
 * Forward and backward over the leaves [from, to) of `bounds`, added up.
 *
 * Leaf i draws from `random.fork(i)` and starts from the model's buffers as they are at the call.
 * Afterwards they hold what the last leaf made of them; after an error, what they held before.
 */
export async function sumLeaves(
  parts: PassParts,
  batch: HostBatch,
  bounds: Bounds,
  iteration: number,
  random: RandomStream,
  { from, to }: { from: number; to: number } = { from: 0, to: bounds.length },
): Promise<LeafSum> {
  const single = bounds.length === 1;
  const buffers = Object.values(parts.model.buffers ?? {});
  const before = buffers.map((buffer) => tf.clone(buffer));
  const averaged = single
    ? []
    : buffers.flatMap((buffer, k) => buffer.dtype === "float32" ? [k] : []);
  const tree = new BinaryCounter(addLeaves);
  try {
    for (let i = from; i < to; i++) {
      const [start, end] = bounds[i];
      if (i > from) restore(buffers, before);
      const rows = single ? batch : sliceBatch(batch, start, end);
      const leaf = leafGradient(parts, rows, iteration, random.fork(i));
      const moved = averaged.map((k) =>
        tf.tidy(() => tf.mul(tf.sub(buffers[k], before[k]), end - start))
      );
      tree.push({ ...leaf, moved });
      await parts.breathe();
    }
    return tree.total();
  } catch (error) {
    restore(buffers, before);
    tf.dispose(tree.open as unknown as tf.TensorContainer);
    throw error;
  } finally {
    tf.dispose(before);
  }
}

/** left + right, which are disposed; a gradient that only one side has is taken as it is. */
export function addLeaves(left: LeafSum, right: LeafSum): LeafSum {
  const grads: Record<string, tf.Tensor> = Object.create(null);
  for (const name of new Set([...Object.keys(left.grads), ...Object.keys(right.grads)])) {
    const a = left.grads[name], b = right.grads[name];
    grads[name] = a === undefined ? b : b === undefined ? a : addAndDispose(a, b);
  }
  return {
    grads,
    lossSum: addAndDispose(left.lossSum, right.lossSum),
    count: addCounts(left.count, right.count),
    metricSums: left.metricSums && joinAndDispose(left.metricSums, right.metricSums!),
    moved: left.moved.map((a, i) => addAndDispose(a, right.moved[i])),
  };
}

function addCounts(a: tf.Tensor | number, b: tf.Tensor | number): tf.Tensor | number {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const [left, right] = [a, b].map((n) => typeof n === "number" ? tf.scalar(n) : n);
  return addAndDispose(left, right);
}

function joinAndDispose(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const joined = tf.concat([a, b]);
  tf.dispose([a, b]);
  return joined;
}

function addAndDispose(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const sum = tf.add(a, b);
  tf.dispose([a, b]);
  return sum;
}

/** Puts values back. */
export function restore(buffers: readonly tf.Variable[], values: readonly tf.Tensor[]): void {
  buffers.forEach((buffer, k) => buffer.assign(values[k]));
}
