/**
 * One post-norm transformer layer of PatchTST.
 *
 *     x <- norm(x + dropout(attention(x)));   x <- norm(x + dropout(down(dropout(gelu(up(x))))))
 *
 * Axis letters: R rows (batch x channels), N patches, D width, H heads, E width of a head.
 */
import { attention, attentionScores } from "../nn/attention.ts";
import { batchNorm } from "../nn/batch_norm.ts";
import { dropout } from "../nn/dropout.ts";
import { gelu } from "../nn/gelu.ts";
import { ones, zeros } from "../nn/init.ts";
import { layerNorm } from "../nn/layer_norm.ts";
import { linear } from "../nn/linear.ts";
import type { LinearVariables, Variables } from "../nn/variables.ts";
import * as tf from "../tensor/tf.ts";
import type { ForwardContext } from "./model.ts";

/** Options of an {@link EncoderLayer}; see PatchTSTOptions. */
export interface EncoderOptions {
  readonly width: number;
  readonly heads: number;
  readonly feedForward: number;
  readonly dropout: number;
  readonly attentionDropout: number;
  readonly norm: "batch" | "layer";
  readonly residualAttention: boolean;
}

/** What a layer hands to the next one. */
export interface Encoded {
  /** [R, N, D] */
  readonly hidden_RND: tf.Tensor;
  /** Attention scores before the softmax, [R, H, N, N], with residual attention. */
  readonly scores_RHNN?: tf.Tensor;
}

/** A layer, its variables named `name.attention.query.weight` and so on. */
export class EncoderLayer {
  readonly #name: string;
  readonly #options: EncoderOptions;
  readonly #attention: Record<"query" | "key" | "value" | "output", LinearVariables>;
  readonly #up: LinearVariables;
  readonly #down: LinearVariables;
  readonly #attentionNorm: Norm;
  readonly #feedForwardNorm: Norm;

  constructor(variables: Variables, name: string, options: EncoderOptions) {
    const { width, feedForward } = options;
    const projection = (part: string) =>
      variables.linear(`${name}.attention.${part}`, width, width);
    this.#name = name;
    this.#options = options;
    this.#attention = {
      query: projection("query"),
      key: projection("key"),
      value: projection("value"),
      output: projection("output"),
    };
    this.#attentionNorm = normOf(variables, `${name}.attentionNorm`, options);
    this.#up = variables.linear(`${name}.feedForward.up`, width, feedForward);
    this.#down = variables.linear(`${name}.feedForward.down`, feedForward, width);
    this.#feedForwardNorm = normOf(variables, `${name}.feedForwardNorm`, options);
  }

  forward(input: Encoded, context: ForwardContext): Encoded {
    const { dropout: rate } = this.#options;
    const x = input.hidden_RND;
    const { hidden_RND: attended, scores_RHNN } = this.#attend(input, context);
    const added = tf.add(x, this.#drop(attended, rate, "residual", context));
    const y = this.#attentionNorm(added, context.training);
    const wide = gelu(linear(y, this.#up.weight, this.#up.bias));
    const narrow = linear(
      this.#drop(wide, rate, "feedForward", context),
      this.#down.weight,
      this.#down.bias,
    );
    const sum = tf.add(y, this.#drop(narrow, rate, "feedForwardResidual", context));
    return { hidden_RND: this.#feedForwardNorm(sum, context.training), scores_RHNN };
  }

  #attend({ hidden_RND, scores_RHNN: earlier }: Encoded, context: ForwardContext): Encoded {
    const { width, heads, residualAttention, attentionDropout, dropout: rate } = this.#options;
    const { query, key, value, output } = this.#attention;
    const [rows, patches] = hidden_RND.shape;
    const project = ({ weight, bias }: LinearVariables) => {
      const y = linear(hidden_RND, weight, bias);
      return tf.transpose(tf.reshape(y, [rows, patches, heads, width / heads]), [0, 2, 1, 3]);
    };
    const heads_RHNE = [query, key, value].map(project);
    const { mixed_RHNE, scores } = residualAttention || attentionDropout > 0
      ? this.#mixByScores(heads_RHNE, earlier, context)
      : { mixed_RHNE: attention(heads_RHNE[0], heads_RHNE[1], heads_RHNE[2]), scores: undefined };
    const mixed = tf.reshape(tf.transpose(mixed_RHNE, [0, 2, 1, 3]), [rows, patches, width]);
    const attended = linear(mixed, output.weight, output.bias);
    return {
      hidden_RND: this.#drop(attended, rate, "output", context),
      scores_RHNN: residualAttention ? scores : undefined,
    };
  }

  /** Attention whose scores are added to the earlier layer's, and whose weights are dropped. */
  #mixByScores(
    [query, key, value]: readonly tf.Tensor[],
    earlier: tf.Tensor | undefined,
    context: ForwardContext,
  ): { mixed_RHNE: tf.Tensor; scores: tf.Tensor } {
    const own = attentionScores(query, key);
    const scores = earlier === undefined ? own : tf.add(own, earlier);
    const { attentionDropout } = this.#options;
    const weights = this.#drop(tf.softmax(scores), attentionDropout, "attention", context);
    return { mixed_RHNE: tf.matMul(weights, value), scores };
  }

  #drop(x: tf.Tensor, rate: number, site: string, context: ForwardContext): tf.Tensor {
    const random = context.random.fork(`${this.#name}.${site}`);
    return dropout(x, rate, { training: context.training, random });
  }
}

type Norm = (x: tf.Tensor, training: boolean) => tf.Tensor;

function normOf(variables: Variables, name: string, { norm, width }: EncoderOptions): Norm {
  const { gain, bias } = variables.norm(name, width);
  if (norm === "layer") return (x) => layerNorm(x, gain, bias);
  const mean = variables.buffer(`${name}.mean`, [width], zeros);
  const variance = variables.buffer(`${name}.variance`, [width], ones);
  return (x, training) => batchNorm(x, { gain, bias, mean, variance, training });
}
