/**
 * The gradient of one iteration: the batch is cut into leaves (micro-batches times shards), each
 * leaf gives the gradient of its loss SUM, and the leaves are added in a fixed binary tree. One
 * division by the item count follows. So accumulation, shards and one big batch give the same
 * numbers up to rounding, and the placement of leaves gives the same bits.
 *
 * What the host needs to know of an iteration is one small read. Until it is done everything is on
 * the device, where an update may use it already.
 */
import type { RandomStream } from "../core/random.ts";
import { sliceBatch, toTensors } from "../data/batch.ts";
import type { HostBatch } from "../data/dataset.ts";
import type { Loss, LossResult } from "../loss/loss.ts";
import type { Metric } from "../metric/metric.ts";
import { metricSums as sumsOf } from "../metric/sums.ts";
import type { Model } from "../model/model.ts";
import { squaredNorm } from "../optim/clip.ts";
import type { Task } from "../task/task.ts";
import { readTogether } from "../tensor/read.ts";
import * as tf from "../tensor/tf.ts";
import { variableGrads } from "../tensor/variable_grads.ts";
import type { Hooks, OutputValue } from "./hooks.ts";

/** What a forward and backward pass needs. */
export interface PassParts {
  readonly model: Model;
  readonly task: Task;
  readonly loss: Loss;
  /** Metrics of training batches; empty when they are switched off. */
  readonly trainMetrics: readonly Metric[];
  readonly hooks: Hooks;
  /** Called after every leaf: keeps the loop reachable, throws nothing. */
  breathe(): Promise<void>;
}

/** The gradient of an iteration; `dispose` frees it. */
export interface IterationGradient {
  /** By parameter name: the gradient of `lossSum * scale`'s numerator; parameters not reached are absent. */
  readonly grads: Record<string, tf.Tensor>;
  /** Scale and norm as in {@link Totals}, before anything is read. Call inside tidy. */
  onDevice(): { scale: number | tf.Scalar; norm: tf.Scalar };
  /** Its elements are finite if loss and gradient are. Call inside tidy. */
  guard(): tf.Tensor;
  /** The one read; a pass that is not finite then leaves no statistics behind. */
  read(): Promise<Totals>;
  dispose(): void;
}

/** What the host knows of an iteration. */
export interface Totals {
  /** Multiply the gradients by this for the gradient of the mean loss. */
  readonly scale: number;
  readonly lossSum: number;
  readonly count: number;
  /** Global L2 norm of the mean gradient. */
  readonly norm: number;
  readonly metricSums: Float64Array;
  /** Whether loss and gradient are finite. */
  readonly finite: boolean;
}

/** What a leaf adds to the iteration; tensors stay on the device. */
interface Leaf {
  grads: Record<string, tf.Tensor>;
  lossSum: tf.Tensor;
  /** Items: a number where the loss knows it without looking at values. */
  count: tf.Tensor | number;
  /** The sums of all training metrics, [rows, sums]; undefined when there are none. */
  metricSums: tf.Tensor | undefined;
  /** How much each float buffer moved in the leaf, times its rows; empty when the leaf is the only one. */
  buffers: tf.Tensor[];
}

/** Keeps the division of an empty batch finite: its loss sum and gradient are 0. */
const TINY = 1e-12;

/** Rows [start, end) of every leaf of a batch of `rows`, in the order they are added. */
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

/** Forward and backward over every leaf. */
export async function iterationGradient(
  parts: PassParts,
  batch: HostBatch,
  bounds: readonly (readonly [number, number])[],
  iteration: number,
  random: RandomStream,
): Promise<IterationGradient> {
  const single = bounds.length === 1;
  // Every leaf starts from the iteration's buffers; what they moved combines weighted by rows. (Sums
  // of values would wear off those that do not move, such as frozen weights.) A buffer that is no
  // float is what the last leaf made of it.
  const buffers = Object.values(parts.model.buffers ?? {});
  const before = buffers.map((buffer) => tf.clone(buffer));
  const averaged = buffers.flatMap((buffer, k) => buffer.dtype === "float32" ? [k] : []);
  const tree: { leaf: Leaf; leaves: number }[] = [];
  try {
    for (let i = 0; i < bounds.length; i++) {
      const [start, end] = bounds[i];
      if (i > 0) restore(buffers, before);
      const rows = single ? batch : sliceBatch(batch, start, end);
      const leaf = leafGradient(parts, rows, iteration, random.fork(i));
      if (!single) {
        leaf.buffers = averaged.map((k) =>
          tf.tidy(() => tf.mul(tf.sub(buffers[k], before[k]), end - start))
        );
      }
      tree.push({ leaf, leaves: 1 });
      // A binary counter: equal subtrees merge, so the shape depends on the number of leaves only.
      while (tree.length > 1 && tree[tree.length - 1].leaves === tree[tree.length - 2].leaves) {
        mergeTop(tree);
      }
      await parts.breathe();
    }
  } catch (error) {
    restore(buffers, before);
    const leaves = tree.map(({ leaf }) => leaf);
    tf.dispose([before, leaves as unknown as tf.TensorContainer]);
    throw error;
  }
  while (tree.length > 1) mergeTop(tree);

  const { grads, lossSum: sum, count: items, metricSums, buffers: moved } = tree[0].leaf;
  const rows = bounds.reduce((n, [start, end]) => n + end - start, 0);
  moved.forEach((sum, i) => {
    const k = averaged[i];
    tf.tidy(() => buffers[k].assign(tf.add(before[k], tf.div(sum, rows))));
  });
  const tensors = Object.values(grads);
  const squares = squaredNorm(tensors);
  const scalars = [squares, sum];
  if (typeof items !== "number") scalars.push(items);
  if (metricSums !== undefined) scalars.push(metricSums);
  return {
    grads,
    onDevice() {
      const norm = tf.sqrt(squares);
      if (typeof items === "number") {
        const scale = 1 / Math.max(items, TINY);
        return { scale, norm: tf.mul(norm, scale) };
      }
      const scale = tf.div<tf.Scalar>(1, tf.maximum(items, TINY));
      return { scale, norm: tf.mul(norm, scale) };
    },
    guard: () => tf.stack([squares, sum]),
    async read() {
      const [square, lossSum, ...rest] = await readTogether(scalars);
      const count = typeof items === "number" ? items : rest.shift()!;
      const scale = 1 / Math.max(count, TINY);
      const finite = Number.isFinite(lossSum) && Number.isFinite(square);
      if (!finite) restore(buffers, before);
      const norm = Math.sqrt(square) * scale;
      return { scale, lossSum, count, norm, metricSums: columnSums(rest, metricSums), finite };
    },
    dispose: () => tf.dispose([...tensors, ...scalars, ...before, ...moved]),
  };
}

/** One leaf: the gradient of its loss sum; the update divides by the count as it reads the gradient. */
function leafGradient(
  parts: PassParts,
  rows: HostBatch,
  iteration: number,
  random: RandomStream,
): Leaf {
  const parameters = trainable(parts.model);
  const batch = toTensors(rows);
  let count: tf.Tensor | number = 0, metricSums: tf.Tensor | undefined;
  try {
    const { value: lossSum, grads: byVariable } = variableGrads(() => {
      const { loss, value } = forwardLoss(parts, batch, iteration, random);
      count = typeof loss.count === "number" ? loss.count : tf.keep(tf.clone(loss.count));
      if (parts.trainMetrics.length > 0) {
        metricSums = tf.keep(metricTotals(parts.trainMetrics, parts.task, value));
      }
      return loss.sum;
    }, Object.values(parameters));
    const grads: Record<string, tf.Tensor> = Object.create(null);
    for (const name of Object.keys(parameters)) {
      const gradient = byVariable[parameters[name].name];
      if (gradient !== undefined && gradient !== null) grads[name] = gradient;
    }
    return { grads, lossSum, count, metricSums, buffers: [] };
  } catch (error) {
    tf.dispose([count, metricSums] as tf.TensorContainer);
    throw error;
  } finally {
    tf.dispose(batch);
  }
}

/** The variables to train, each once: under its first name where it has several. */
export function trainable({ parameters }: Model): Record<string, tf.Variable> {
  const seen = new Set<tf.Variable>();
  const out: Record<string, tf.Variable> = Object.create(null);
  for (const name of Object.keys(parameters)) {
    const variable = parameters[name];
    if (!variable.trainable || seen.has(variable)) continue;
    seen.add(variable);
    out[name] = variable;
  }
  return out;
}

/** Forward pass, task flow and loss, with the hooks that change values. Runs in the tape. */
function forwardLoss(
  parts: PassParts,
  batch: Record<string, tf.Tensor>,
  iteration: number,
  random: RandomStream,
): { loss: LossResult; value: OutputValue } {
  const { model, task, hooks } = parts;
  const flow = task.preprocess(batch, { training: true, random: random.fork("task") });
  const output = namedOutput(model.forward(flow.model, { training: true, random }));
  const context = { iteration, output };
  let value: OutputValue = { prediction: output.prediction, target: flow.target, mask: flow.mask };
  for (const callback of hooks.having("output")) value = callback.output(value, context);
  let loss = lossOf(parts, output, value);
  for (const callback of hooks.having("loss")) loss = callback.loss(loss, context);
  return { loss, value };
}

/** The model's own mean loss weighted by the task's items, or the config's loss. */
function lossOf(
  parts: PassParts,
  output: Record<string, tf.Tensor>,
  value: OutputValue,
): LossResult {
  if (output.loss === undefined) return parts.loss(value.prediction, value.target, value.mask);
  const count = parts.task.itemWeight(value.target, value.mask);
  const weight = typeof count === "number" ? tf.scalar(count) : count;
  return { sum: tf.mul(tf.reshape(output.loss, []), weight) as tf.Scalar, count };
}

/** A forward pass's output by name. */
export function namedOutput(
  output: tf.Tensor | Record<string, tf.Tensor>,
): Record<string, tf.Tensor> {
  return output instanceof tf.Tensor ? { prediction: output } : output;
}

/** The sums of all metrics for each sample of a batch: [rows, sums]. */
function metricTotals(metrics: readonly Metric[], task: Task, value: OutputValue): tf.Tensor {
  const { prediction, target } = task.postprocess(value.prediction, value.target);
  return sumsOf(metrics, prediction, target, value.mask);
}

/** The totals over samples, added in double precision in sample order, as an evaluation does. */
function columnSums(values: readonly number[], sums: tf.Tensor | undefined): Float64Array {
  const totals = new Float64Array(sums?.shape[1] ?? 0);
  values.forEach((value, i) => totals[i % totals.length] += value);
  return totals;
}

function restore(buffers: readonly tf.Variable[], values: readonly tf.Tensor[]): void {
  buffers.forEach((buffer, k) => buffer.assign(values[k]));
}

function mergeTop(tree: { leaf: Leaf; leaves: number }[]): void {
  const right = tree.pop()!;
  const left = tree.pop()!;
  tree.push({ leaf: addLeaves(left.leaf, right.leaf), leaves: left.leaves + right.leaves });
}

/** left + right; a gradient that only one side has is taken as it is. */
function addLeaves(left: Leaf, right: Leaf): Leaf {
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
    buffers: left.buffers.map((a, i) => addAndDispose(a, right.buffers[i])),
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
