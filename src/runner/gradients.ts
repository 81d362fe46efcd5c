/**
 * The gradient of one iteration: the sum over its leaves (`leaves.ts`), which one division by the item
 * count turns into that of the mean loss.
 *
 * What the host needs to know of an iteration is one small read. Until it is done everything is on
 * the device, where an update may use it already.
 */
import { ConfigError, show } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import type { HostBatch } from "../data/dataset.ts";
import { hostSquaredNorm } from "../optim/block_sums.ts";
import { squaredNorm } from "../optim/clip.ts";
import { readTogether } from "../tensor/read.ts";
import * as tf from "../tensor/tf.ts";
import { type PassParts, trainable } from "./leaf_gradient.ts";
import { averagedBuffers, type Bounds, restore, sumLeaves } from "./leaves.ts";

/** The gradient of an iteration; `dispose` frees it. */
export interface PassGradient {
  /**
   * By parameter name: the gradient of `lossSum * scale`'s numerator; parameters not reached are absent.
   * Its properties can be redefined: see {@link sealGradients}.
   */
  readonly grads: Record<string, tf.Tensor>;
  /** What an update before the read needs; only where a read waits for the device. */
  readonly onDevice?: DeviceTotals;
  /** The one read; a pass that is not finite then leaves no statistics behind. */
  read(): Promise<Totals>;
  dispose(): void;
}

/** {@link Totals} before anything is read. */
export interface DeviceTotals {
  /** Call inside tidy. */
  factors(): { scale: number | tf.Scalar; norm: tf.Scalar };
  /** Its elements are finite if loss and gradient are. Call inside tidy. */
  guard(): tf.Tensor;
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

/** Keeps the division of an empty batch finite: its loss sum and gradient are 0. */
const TINY = 1e-12;

/** Refuses every look at the gradients of an iteration from here on: they are freed with its update. */
export function sealGradients(grads: Record<string, tf.Tensor>): void {
  for (const name of Object.keys(grads)) {
    Object.defineProperty(grads, name, {
      get(): never {
        throw new ConfigError(
          "gradients",
          `are freed with the update of their iteration, ${show(name)} was looked at after it: ` +
            "a callback must clone those that it keeps",
        );
      },
    });
  }
}

/** Forward and backward over every leaf. */
export async function iterationGradient(
  parts: PassParts,
  batch: HostBatch,
  bounds: Bounds,
  iteration: number,
  random: RandomStream,
): Promise<PassGradient> {
  const buffers = Object.values(parts.model.buffers ?? {});
  const before = buffers.map((buffer) => tf.clone(buffer));
  const { grads, lossSum, count: items, metricSums, moved } = await sumLeaves(
    parts,
    batch,
    bounds,
    iteration,
    random,
  ).catch((error) => {
    tf.dispose(before);
    throw error;
  });
  if (moved.length > 0) {
    const rows = bounds.reduce((n, [start, end]) => n + end - start, 0);
    const start = before.filter(({ dtype }) => dtype === "float32");
    averagedBuffers(parts.model).forEach((buffer, k) => {
      tf.tidy(() => buffer.assign(tf.add(start[k], tf.div(moved[k], rows))));
    });
  }
  const tensors = Object.keys(trainable(parts.model)).flatMap((name) => grads[name] ?? []);
  const squares = tf.getBackend() === "webgpu" ? squaredNorm(tensors) : undefined;
  const scalars = [squares, lossSum, items, metricSums].filter((value) =>
    value instanceof tf.Tensor
  );
  return {
    grads,
    onDevice: squares && {
      factors() {
        const norm = tf.sqrt(squares);
        if (typeof items === "number") {
          const scale = scaleOf(items);
          return { scale, norm: tf.mul(norm, scale) };
        }
        const scale = tf.div<tf.Scalar>(1, tf.maximum(items, TINY));
        return { scale, norm: tf.mul(norm, scale) };
      },
      guard: () => tf.stack([squares, lossSum]),
    },
    async read() {
      const values = [...await readTogether(scalars)];
      const square = squares === undefined ? hostSquaredNorm(tensors) : values.shift()!;
      const loss = values.shift()!;
      const count = typeof items === "number" ? items : values.shift()!;
      const totals = totalsOf(loss, count, square, values, metricSums?.shape[1] ?? 0);
      if (!totals.finite) restore(buffers, before);
      return totals;
    },
    // Callbacks may have put others in the place of gradients.
    dispose: () =>
      tf.dispose([...tensors, ...Object.values(grads), ...scalars, ...before, ...moved]),
  };
}

/** What turns the gradient of a loss sum over `count` items into that of the mean. */
export function scaleOf(count: number): number {
  return 1 / Math.max(count, TINY);
}

/** Whether an update can be made of a loss and a gradient with this squared norm. */
export function areFinite(lossSum: number, square: number): boolean {
  return Number.isFinite(lossSum) && Number.isFinite(square);
}

/**
 * The totals of an iteration.
 *
 * @param square The squared norm of the gradient of the loss sum.
 * @param rows The metric sums of the samples in order, `width` each; they are added in double
 * precision in sample order, as an evaluation does.
 */
export function totalsOf(
  lossSum: number,
  count: number,
  square: number,
  rows: ArrayLike<number>,
  width: number,
): Totals {
  const scale = scaleOf(count);
  const metricSums = new Float64Array(width);
  for (let i = 0; i < rows.length; i++) metricSums[i % width] += rows[i];
  const finite = areFinite(lossSum, square);
  return { scale, lossSum, count, norm: Math.sqrt(square) * scale, metricSums, finite };
}
