/**
 * PatchTST (Nie et al., "A Time Series is Worth 64 Words", ICLR 2023), the supervised model.
 *
 * Every channel is a series of its own: normalised by its window's mean and standard deviation
 * (RevIN, Kim et al., ICLR 2022), cut into overlapping patches, embedded, encoded by post-norm
 * transformer layers whose attention scores are handed from layer to layer (residual attention),
 * flattened patch by patch and mapped to the horizon.
 *
 * Axis letters: B batch, T time, C channels, R rows (B x C), N patches, P patch length, D width.
 */
import { ConfigError } from "../core/errors.ts";
import { below, flag, integer, object, oneOf, parseOptions, type z } from "../core/options.ts";
import { dropout } from "../nn/dropout.ts";
import { ones, uniform, zeros } from "../nn/init.ts";
import { linear } from "../nn/linear.ts";
import { type LinearVariables, Variables } from "../nn/variables.ts";
import * as tf from "../tensor/tf.ts";
import { inputsOf } from "./inputs.ts";
import type { Batch, ForwardContext, Model, ModelContext } from "./model.ts";
import { type Encoded, EncoderLayer } from "./patch_tst_encoder.ts";

/** Options of {@link PatchTST}. */
export interface PatchTSTOptions {
  /** Time steps in. */
  readonly inputLength: number;
  /** Time steps out. */
  readonly outputLength: number;
  readonly channels: number;
  /** Time steps in a patch. @default 16 */
  readonly patchLength?: number;
  /** Time steps from one patch to the next. @default 8 */
  readonly stride?: number;
  /** `end` repeats the last value `stride` times, which makes one more patch. @default "end" */
  readonly padding?: "end" | "none";
  /** Numbers that represent a patch. @default 16 */
  readonly width?: number;
  /** Attention heads; must divide `width`. @default 4 */
  readonly heads?: number;
  /** Width of the feed-forward layers. @default 128 */
  readonly feedForward?: number;
  /** Encoder layers. @default 3 */
  readonly layers?: number;
  /** Dropout after embedding, attention and feed-forward. @default 0.3 */
  readonly dropout?: number;
  /** Dropout of the attention weights. @default 0 */
  readonly attentionDropout?: number;
  /** Dropout of the forecast. @default 0 */
  readonly headDropout?: number;
  /** Batch normalisation as in the paper, or layer normalisation. @default "batch" */
  readonly norm?: "batch" | "layer";
  /** Adds the previous layer's attention scores to this layer's. @default true */
  readonly residualAttention?: boolean;
  /** Instance normalisation of every window. @default true */
  readonly revin?: boolean;
  /** Trained gain and bias per channel in the instance normalisation. @default false */
  readonly affine?: boolean;
}

const schema = object({
  inputLength: integer(1),
  outputLength: integer(1),
  channels: integer(1),
  patchLength: integer(1).default(16),
  stride: integer(1).default(8),
  padding: oneOf(["end", "none"]).default("end"),
  width: integer(1).default(16),
  heads: integer(1).default(4),
  feedForward: integer(1).default(128),
  layers: integer(1).default(3),
  dropout: below(0, 1).default(0.3),
  attentionDropout: below(0, 1).default(0),
  headDropout: below(0, 1).default(0),
  norm: oneOf(["batch", "layer"]).default("batch"),
  residualAttention: flag().default(true),
  revin: flag().default(true),
  affine: flag().default(false),
});

/** Schema of {@link PatchTSTOptions}. */
export const patchTSTSchema: z.ZodObject = schema;

/** Added to a window's variance, as in RevIN. */
const EPSILON = 1e-5;

/** Maps `inputs` [batch, inputLength, channels] to [batch, outputLength, channels]. */
export class PatchTST implements Model {
  readonly parameters: Record<string, tf.Variable>;
  readonly buffers: Record<string, tf.Variable>;
  readonly #options: Required<PatchTSTOptions>;
  readonly #numPatches: number;
  readonly #affine: { gain: tf.Variable; bias: tf.Variable } | undefined;
  readonly #embedding: LinearVariables;
  readonly #position: tf.Variable;
  readonly #encoder: readonly EncoderLayer[];
  readonly #head: LinearVariables;

  constructor(params: PatchTSTOptions, context: ModelContext, path = "params") {
    const options = this.#options = parseOptions(schema, params, path, "PatchTST");
    checkTogether(options, path);
    const { inputLength, outputLength, channels, patchLength, stride, width } = options;
    const inside = Math.floor((inputLength - patchLength) / stride) + 1;
    const patches = this.#numPatches = inside + (options.padding === "end" ? 1 : 0);
    const variables = new Variables(context.random);
    this.#affine = options.affine
      ? {
        gain: variables.parameter("revin.gain", [channels, 1], ones),
        bias: variables.parameter("revin.bias", [channels, 1], zeros),
      }
      : undefined;
    this.#embedding = variables.linear("embedding", patchLength, width);
    this.#position = variables.parameter("position", [patches, width], uniform(-0.02, 0.02));
    this.#encoder = Array.from(
      { length: options.layers },
      (_, i) => new EncoderLayer(variables, `encoder.${i}`, options),
    );
    this.#head = variables.linear("head", patches * width, outputLength);
    this.parameters = variables.parameters;
    this.buffers = variables.buffers;
  }

  forward(batch: Batch, context: ForwardContext): tf.Tensor {
    const { inputLength, channels, revin } = this.#options;
    const x_BTC = inputsOf(batch, [inputLength, channels], "PatchTST");
    const x_BCT = tf.transpose(x_BTC, [0, 2, 1]);
    if (!revin) return tf.transpose(this.#forecast(x_BCT, context), [0, 2, 1]);
    const mean_BC1 = tf.mean(x_BCT, -1, true);
    const centered_BCT = tf.sub(x_BCT, mean_BC1);
    const std_BC1 = tf.sqrt(tf.add(tf.mean(tf.square(centered_BCT), -1, true), EPSILON));
    const y_BCT = this.#affineForecast(tf.div(centered_BCT, std_BC1), context);
    return tf.transpose(tf.add(tf.mul(y_BCT, std_BC1), mean_BC1), [0, 2, 1]);
  }

  dispose(): void {
    tf.dispose([this.parameters, this.buffers]);
  }

  #affineForecast(x_BCT: tf.Tensor, context: ForwardContext): tf.Tensor {
    if (this.#affine === undefined) return this.#forecast(x_BCT, context);
    const { gain, bias } = this.#affine;
    const y_BCT = this.#forecast(tf.add(tf.mul(x_BCT, gain), bias), context);
    return tf.div(tf.sub(y_BCT, bias), tf.add(gain, EPSILON * EPSILON));
  }

  /** [B, C, inputLength] -> [B, C, outputLength]. */
  #forecast(x_BCT: tf.Tensor, context: ForwardContext): tf.Tensor {
    const { inputLength, outputLength, width, dropout: rate, headDropout } = this.#options;
    const [batch, channels] = x_BCT.shape;
    const drop = (x: tf.Tensor, rate: number, site: string) =>
      dropout(x, rate, { training: context.training, random: context.random.fork(site) });
    const patches_RNP = this.#patches(tf.reshape(x_BCT, [batch * channels, inputLength]));
    const embedded = linear(patches_RNP, this.#embedding.weight, this.#embedding.bias);
    let encoded: Encoded = {
      hidden_RND: drop(tf.add(embedded, this.#position), rate, "embedding"),
    };
    for (const layer of this.#encoder) encoded = layer.forward(encoded, context);
    const flat = tf.reshape(encoded.hidden_RND, [batch * channels, this.#numPatches * width]);
    const forecast = drop(linear(flat, this.#head.weight, this.#head.bias), headDropout, "head");
    return tf.reshape(forecast, [batch, channels, outputLength]);
  }

  /** [R, inputLength] -> [R, N, P]; slices, because their gradient exists on every backend. */
  #patches(x_RT: tf.Tensor): tf.Tensor {
    const { inputLength, patchLength, stride, padding } = this.#options;
    const rows = x_RT.shape[0];
    const last = () => tf.tile(tf.slice(x_RT, [0, inputLength - 1], [rows, 1]), [1, stride]);
    const padded = padding === "end" ? tf.concat([x_RT, last()], 1) : x_RT;
    const pieces = Array.from(
      { length: this.#numPatches },
      (_, i) => tf.slice(padded, [0, i * stride], [rows, patchLength]),
    );
    return tf.reshape(tf.concat(pieces, 1), [rows, this.#numPatches, patchLength]);
  }
}

function checkTogether(options: Required<PatchTSTOptions>, path: string): void {
  const { inputLength, patchLength, width, heads, affine, revin } = options;
  if (patchLength > inputLength) {
    throw new ConfigError(
      `${path}.patchLength`,
      `must be at most inputLength (${inputLength}), received ${patchLength}`,
    );
  }
  if (width % heads !== 0) {
    throw new ConfigError(`${path}.heads`, `must divide width (${width}), received ${heads}`);
  }
  if (affine && !revin) throw new ConfigError(`${path}.affine`, "needs revin true, received false");
}
