import * as tf from "../tensor/tf.ts";

/** Options of {@link attention}. */
export interface AttentionOptions {
  /** 1 (true) where a query may look at a key, 0 where not; broadcasts to [..., queries, keys]. */
  readonly mask?: tf.Tensor;
}

/**
 * Scaled dot-product attention: softmax(q k' / sqrt(d)) v (Vaswani et al. 2017).
 *
 * A masked score is lowered by 1e9, so a query that may look at nothing gets finite weights, not NaN.
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
  const scores = attentionScores(query, key);
  const { mask } = options;
  const masked = mask === undefined
    ? scores
    : tf.add(scores, tf.mul(tf.sub(tf.cast(mask, "float32"), 1), 1e9));
  return tf.matMul(tf.softmax(masked), value);
}

/** q k' / sqrt(d): the scores before the softmax, for models that pass them on (residual attention). */
export function attentionScores(query: tf.Tensor, key: tf.Tensor): tf.Tensor {
  const scale = 1 / Math.sqrt(query.shape[query.rank - 1]);
  return tf.matMul(tf.mul(query, scale), key, false, true);
}
