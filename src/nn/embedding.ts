import * as tf from "../tensor/tf.ts";
import { isFused, runKernel } from "./fused.ts";

/**
 * The rows of `table` at `ids`. An id outside the table gives zeros.
 *
 * Where the backend has no kernel for it, it is a one-hot product, whose gradient exists on every
 * backend; that costs ids x vocabulary x width multiply-adds, so it suits small tables.
 *
 * @param table [vocabulary, width].
 * @param ids Integers of any shape and dtype.
 * @returns [...ids, width].
 */
export function embedding(table: tf.Tensor, ids: tf.Tensor): tf.Tensor {
  const [vocabulary, width] = table.shape;
  const integers = ids.dtype === "int32" ? ids : tf.cast(ids, "int32");
  if (isFused(KERNEL, table)) return runKernel(KERNEL, { table, ids: integers })[0];
  // Not tf.oneHot, which refuses a vocabulary of 1.
  const isRow = tf.equal(tf.reshape(integers, [-1, 1]), tf.range(0, vocabulary, 1, "int32"));
  const rows = tf.matMul(tf.cast(isRow, "float32"), table);
  return tf.reshape(rows, [...ids.shape, width]);
}

const KERNEL = "DownhillEmbedding";

tf.registerGradient({
  kernelName: KERNEL,
  inputsToSave: ["table", "ids"],
  gradFunc: (dy, [table, ids]) => ({
    table: () => {
      const vocabulary = table.shape[0];
      return runKernel("DownhillEmbeddingGrad", { dy: dy as tf.Tensor, ids }, { vocabulary })[0];
    },
  }),
});
