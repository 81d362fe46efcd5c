import * as tf from "../tensor/tf.ts";
import { differentiable, isFused, runKernel } from "./fused.ts";

/** Options of {@link attention}. */
export interface AttentionOptions {
  /** 1 (true) where a query may look at a key, 0 where not; broadcasts to [..., queries, keys]. */
  readonly mask?: tf.Tensor;
  /** Query i looks at the keys 0 to i only, as `is_causal` of torch. @default false */
  readonly causal?: boolean;
  /** Factor of the scores. @default 1 / sqrt(d) */
  readonly scale?: number;
}

/**
 * Scaled dot-product attention: softmax(scale q k') v (Vaswani et al. 2017; torch's
 * `scaled_dot_product_attention`).
 *
 * A query that may look at nothing gets zeros and has no gradient. On wasm the weights
 * [..., queries, keys] are kept for the gradient only where they are small (64 MiB), and otherwise
 * computed again, block by block.
 *
 * @param query [..., queries, d].
 * @param key [..., keys, d].
 * @param value [..., keys, e].
 * @returns [..., queries, e].
 */
export function attention(
  query: tf.Tensor,
  key: tf.Tensor,
  value: tf.Tensor,
  options: AttentionOptions = {},
): tf.Tensor {
  const [queries, width] = query.shape.slice(-2);
  const { mask, causal = false, scale = 1 / Math.sqrt(width) } = options;
  if (isFused(KERNEL, query, key, value) && fits(query, key, value, mask)) {
    return fusedAttention(query, key, value, mask, { scale, isCausal: causal });
  }
  const scores = attentionScores(query, key, scale);
  const keys = key.shape[key.rank - 2];
  const lower = causal ? tf.linalg.bandPart(tf.ones([queries, keys]), -1, 0) : undefined;
  const seen = [mask && tf.cast(mask, "float32"), lower].filter((x) => x !== undefined)
    .reduce<tf.Tensor | undefined>(
      (a, b) => a === undefined ? b : tf.mul(a, b as tf.Tensor),
      undefined,
    );
  if (seen === undefined) return tf.matMul(tf.softmax(scores), value);
  // Finite, so that a row without keys is no NaN before it is multiplied by 0.
  const shown = tf.where(tf.cast(tf.broadcastTo(seen, scores.shape), "bool"), scores, -1e30);
  return tf.matMul(tf.mul(tf.softmax(shown), seen), value);
}

/** scale q k': the scores before the softmax, for models that pass them on (residual attention). */
export function attentionScores(
  query: tf.Tensor,
  key: tf.Tensor,
  scale: number = 1 / Math.sqrt(query.shape[query.rank - 1]),
): tf.Tensor {
  return tf.matMul(tf.mul(query, scale), key, false, true);
}

const KERNEL = "DownhillAttention";

/** Whether the heads of all three lie side by side; a mask that is too large is left to tfjs' errors. */
function fits(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask?: tf.Tensor): boolean {
  const same = (a: number[], b: number[]): boolean => tf.util.arraysEqual(a, b);
  const heads = query.shape.slice(0, -2);
  const shape = [...query.shape.slice(0, -1), key.shape[key.rank - 2]];
  return query.rank >= 2 && same(key.shape.slice(0, -2), heads) &&
    same(value.shape.slice(0, -1), key.shape.slice(0, -1)) &&
    query.shape[query.rank - 1] === key.shape[key.rank - 1] &&
    (mask === undefined ||
      same(tf.broadcast_util.assertAndGetBroadcastShape(mask.shape, shape), shape));
}

function fusedAttention(
  query: tf.Tensor,
  key: tf.Tensor,
  value: tf.Tensor,
  mask: tf.Tensor | undefined,
  rule: { scale: number; isCausal: boolean },
): tf.Tensor {
  // Kept for a gradient, if there is to be one.
  const keep = tf.engine().state.gradientDepth > 0;
  return differentiable(
    [query, key, value],
    () => {
      const seen = mask && tf.cast(mask, "bool");
      const inputs = { query, key, value, mask: seen };
      const results = runKernel(KERNEL, inputs, { ...rule, keep });
      return [results[0], query, key, value, seen ?? tf.scalar(true), ...results];
    },
    (dy, query, key, value, seen, out, stats, weights) => {
      const inputs = { query, key, value, mask: mask && seen, out, stats, weights, dy };
      return runKernel("DownhillAttentionGrad", inputs, rule);
    },
  );
}
