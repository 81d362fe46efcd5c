/** What a model is: named variables and a forward pass. */
import type { RandomStream } from "../core/random.ts";
import type * as tf from "../tensor/tf.ts";

/** The tensors of one batch by field name (`inputs`, `targets`, `targetsMask`, ...). Outside training `targets` are zeros. */
export type Batch = Record<string, tf.Tensor>;

/** What a forward pass is told. */
export interface ForwardContext {
  /** True while training: dropout drops, batch norm uses and updates batch statistics. */
  readonly training: boolean;
  /** Random numbers of this (seed, iteration, shard); draw dropout masks from forks or in order. */
  readonly random: RandomStream;
}

/**
 * Named outputs: `prediction`, and others. While training, a `loss` among them (a scalar, the mean
 * over the batch's items) is used instead of the config's loss; outside, where targets are blank,
 * the config's loss counts.
 */
export type ForwardOutput =
  | tf.Tensor
  | ({ readonly prediction: tf.Tensor } & Record<string, tf.Tensor>);

/**
 * Anything with named parameters and a forward pass.
 *
 * `forward` runs inside a gradient tape and tidy: it disposes nothing and returns fresh tensors.
 * Buffers (batch-norm averages) are assigned by the forward pass itself, only while training.
 */
export interface Model {
  /** Trainable variables under stable dotted names. */
  readonly parameters: Record<string, tf.Variable>;
  /** Variables that are saved and not trained. */
  readonly buffers?: Record<string, tf.Variable>;
  forward(batch: Batch, context: ForwardContext): ForwardOutput;
  dispose?(): void;
}

/** What a model factory is told beside its params. */
export interface ModelContext {
  /** Random numbers for the initial weights. */
  readonly random: RandomStream;
  /** The folder that relative paths start from: that of the config file. @default the working directory */
  readonly baseDirectory?: string;
}
