/** Gradients of a loss. */
import * as tf from "./tf.ts";

/**
 * `tf.variableGrads`, which leaves nothing behind when `loss` or its gradient throws: tfjs frees what
 * the passes keep for the gradient only at the end.
 */
export function variableGrads(
  loss: () => tf.Scalar,
  variables: tf.Variable[],
): { value: tf.Scalar; grads: tf.NamedTensorMap } {
  try {
    return tf.variableGrads(loss, variables);
  } catch (error) {
    const { state } = tf.engine();
    if (state.gradientDepth === 0) {
      for (const { saved } of state.activeTape ?? []) tf.dispose(saved ?? []);
      state.activeTape = [];
    }
    throw error;
  }
}
