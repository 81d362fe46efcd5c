/** Closures: what an optimizer calls to have loss and gradients at the present parameters. */
import { ConfigError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import type { Gradients } from "./gradients.ts";

/** Loss and gradients, as `tf.variableGrads` gives them; the optimizer disposes them. */
export interface ClosureResult {
  readonly value: tf.Tensor | number;
  /** By the parameters' names, or by the variables' own. */
  readonly grads: Gradients;
}

/**
 * Computes the loss, or the loss and its gradients, at the parameters as they are now.
 *
 * `() => loss` is differentiated by the optimizer, as in `minimize`; `() => tf.variableGrads(f)`,
 * or an async function with such a result, brings the gradients itself.
 */
export type Closure = () => tf.Scalar | ClosureResult | Promise<ClosureResult>;

/** A point by parameter name in double precision, which the parameters hold in float32. */
export type Point = Readonly<Record<string, Float64Array>>;

/** Loss and gradients in double precision; a parameter without an entry has a gradient of 0. */
export interface HostClosureResult {
  readonly value: number;
  readonly grads: Readonly<Record<string, Float64Array>>;
}

/**
 * Computes loss and gradients in double precision on the host, at the point that it is given and not
 * at the parameters, which are that point rounded to float32. For LBFGS only, whose line search
 * feels those roundings: with it every step is torch's in float64.
 */
export type HostClosure = (point: Point) => HostClosureResult | Promise<HostClosureResult>;

/** One evaluation: the loss on the host, and the gradients to dispose. */
export interface Evaluation {
  readonly loss: number;
  readonly grads: Gradients;
  /** Whether the closure gives the loss alone. */
  readonly isLoss: boolean;
}

/**
 * Evaluates `closure`.
 *
 * @param isLoss That it gives the loss alone, where this is known from before: it is then called
 * once, otherwise twice.
 * @param variables What a loss is differentiated by; all trainable variables if undefined.
 */
export async function evaluateClosure(
  closure: Closure,
  isLoss: boolean,
  variables?: tf.Variable[],
): Promise<Evaluation> {
  if (typeof closure !== "function") {
    throw new ConfigError(
      "closure",
      `must be a function that computes the loss, received ${show(closure)}`,
    );
  }
  if (!isLoss) {
    const result = await callInScope(closure);
    if (!(result instanceof tf.Tensor)) return await read(result, false);
    result.dispose();
  }
  const loss = (): tf.Scalar => {
    const result = closure();
    if (result instanceof tf.Tensor) return result;
    throw new ConfigError("closure", "returned the loss alone before, and now something else");
  };
  return await read(tf.variableGrads(loss, variables), true);
}

async function read(result: ClosureResult, isLoss: boolean): Promise<Evaluation> {
  const { value, grads } = result ?? {};
  if (grads === null || typeof grads !== "object") {
    throw new ConfigError(
      "closure",
      `must return the loss as a scalar tensor, or { value, grads }, received ${show(result)}`,
    );
  }
  const loss = value instanceof tf.Tensor ? (await value.data())[0] : value;
  if (value instanceof tf.Tensor) value.dispose();
  return { loss, grads, isLoss };
}

/** Calls it so that no intermediate tensor of a synchronous closure is left behind. */
function callInScope(closure: Closure): ReturnType<Closure> {
  const engine = tf.engine();
  engine.startScope("closure");
  let kept: tf.TensorContainer = [];
  try {
    const result = closure();
    kept = result instanceof Promise
      ? engine.state.activeScope.track
      : result as unknown as tf.TensorContainer;
    return result;
  } finally {
    engine.endScope(kept);
  }
}
