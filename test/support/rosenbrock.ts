/** L-BFGS on the extended Rosenbrock function, beside torch's steps in float64. */
import { buildOptimizer } from "../../src/optim/builder.ts";
import * as tf from "../../src/tensor/tf.ts";
import { readFixture } from "./fixture.ts";

/** One run of torch. */
export interface LbfgsCase {
  readonly params: Record<string, unknown>;
  readonly x0: number[];
  readonly steps: { loss: number; x: number[]; funcEvals: number; nIter: number }[];
}

export const { lbfgs: lbfgsCases } = readFixture<{ lbfgs: LbfgsCase[] }>("torch/optimizers.json");

/** The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2 and its gradient, in double precision. */
export function rosenbrock(x: Float64Array): { value: number; gradient: Float64Array } {
  const gradient = new Float64Array(x.length);
  let value = 0;
  for (let i = 0; i + 1 < x.length; i++) {
    const r = x[i + 1] - x[i] * x[i];
    value += 100 * r * r + (1 - x[i]) ** 2;
    gradient[i] += -400 * r * x[i] - 2 * (1 - x[i]);
    gradient[i + 1] += 200 * r;
  }
  return { value, gradient };
}

/** The same in float32 on the device. */
export function rosenbrockLoss(x: tf.Variable): tf.Scalar {
  const a = tf.slice(x, 0, x.size - 1), b = tf.slice(x, 1, x.size - 1);
  return tf.add(
    tf.sum(tf.mul(100, tf.square(tf.sub(b, tf.square(a))))),
    tf.sum(tf.square(tf.sub(1, a))),
  );
}

/** What one step led to, and where it should have. */
export interface LbfgsStep {
  readonly loss: number;
  readonly x: number[];
  readonly counts: number[];
  readonly expected: LbfgsCase["steps"][number];
}

/** Steps with a closure in double precision from torch's start, or of tensors from its float32. */
export async function* lbfgsRun(
  { params, x0, steps }: LbfgsCase,
  closure: "host" | "tensors",
): AsyncGenerator<LbfgsStep> {
  const onHost = closure === "host";
  // On the host the parameter is the distance from a start that float32 cannot hold.
  const x = tf.tidy(() => tf.variable(onHost ? tf.zeros([x0.length]) : tf.tensor(x0)));
  const optimizer = buildOptimizer({ type: "LBFGS", params }, { x });
  const at = (distance: ArrayLike<number>) => x0.map((value, i) => value + distance[i]);
  for (const expected of steps) {
    const loss = await (onHost
      ? optimizer.step((point) => {
        const { value, gradient } = rosenbrock(Float64Array.from(at(point.x)));
        return { value, grads: { x: gradient } };
      })
      : optimizer.step(() => rosenbrockLoss(x)));
    const { func_evals, n_iter } = optimizer.stateDict().state[0] as Record<string, number>;
    const values = await x.data();
    yield {
      loss,
      x: onHost ? at(values) : [...values],
      counts: [func_evals, n_iter],
      expected,
    };
  }
  optimizer.dispose();
  x.dispose();
}
