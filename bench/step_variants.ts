/** What is timed of a workload, and the check that it computes the same; shared with the worker. */
import { buildOptimizer } from "../src/optim/builder.ts";
import * as tf from "../src/tensor/tf.ts";
import type { Workload } from "./workloads.ts";

/** Makes steps; resolves to milliseconds a step. */
export type Steps = (count: number) => number;

const LEARNING_RATE = 1e-3;

function timed(step: () => void): Steps {
  return (count) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) step();
    return (performance.now() - start) / count;
  };
}

/** Steps with the library's AdamW, as the PyTorch programs make them. */
export function withAdamW({ parameters }: Workload, loss: () => tf.Scalar): Steps {
  const params = { lr: LEARNING_RATE, weight_decay: 0.01 };
  const optimizer = buildOptimizer({ type: "AdamW", params }, parameters);
  const variables = Object.values(parameters);
  return timed(() => {
    const { value, grads } = tf.variableGrads(loss, variables);
    optimizer.applyGradients(grads);
    tf.dispose([value, grads]);
  });
}

/** Steps with tfjs' gradients and Adam. */
export function withAdam({ parameters }: Workload, loss: () => tf.Scalar): Steps {
  const optimizer = tf.train.adam(LEARNING_RATE);
  const variables = Object.values(parameters);
  return timed(() => void optimizer.minimize(loss, false, variables));
}

/** The loss after `count` steps of plain gradient descent from the workload's own parameters. */
export function lossAfter(count: number, { parameters }: Workload, loss: () => tf.Scalar): number {
  const optimizer = tf.train.sgd(0.05);
  for (let i = 0; i < count; i++) optimizer.minimize(loss, false, Object.values(parameters));
  return tf.tidy(() => loss().dataSync()[0]);
}
