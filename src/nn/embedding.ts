import * as tf from "../tensor/tf.ts";

/**
 * The rows of `table` at `ids`, as a one-hot product.
 *
 * Unlike `tf.gather` its gradient needs no kernel that a backend may lack (stock wasm has no
 * UnsortedSegmentSum); it costs ids x vocabulary x width multiply-adds, so it suits small tables.
 * An id outside the table gives zeros.
 *
 * @param table [vocabulary, width].
 * @param ids Integers of any shape and dtype.
 * @returns [...ids, width].
 */
export function embedding(table: tf.Tensor, ids: tf.Tensor): tf.Tensor {
  const [vocabulary, width] = table.shape;
  const flat = tf.cast(tf.reshape(ids, [-1]), "int32") as tf.Tensor1D;
  const rows = tf.matMul(tf.cast(tf.oneHot(flat, vocabulary), "float32"), table);
  return tf.reshape(rows, [...ids.shape, width]);
}
