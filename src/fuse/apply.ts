/**
 * Runs update expressions on parameters: one pass over memory each, on every backend.
 *
 * WebAssembly and WebGPU work in place, on data of their own: a variable that shares its data with
 * another tensor (a clone, a reshape, a snapshot somebody keeps) gets a copy first. Other backends
 * compute in JavaScript and assign, since the arrays they hold may be the caller's.
 */
import * as tf from "../tensor/tf.ts";
import type { Expression, Update } from "./expression.ts";
import { HostUpdates } from "./host.ts";
import type { Operands } from "./operands.ts";
import { WebgpuUpdates } from "./webgpu.ts";

export type { Operands } from "./operands.ts";

/** An update and what it works on. */
export interface UpdateTask {
  readonly update: Update;
  readonly operands: Operands;
}

/** Gives the parameter and the slots the new values of `update`. */
export function applyUpdate(update: Update, operands: Operands): void {
  applyUpdates([{ update, operands }]);
}

/**
 * Runs several updates in order.
 *
 * A scalar tensor stays on the device on WebGPU, where what it is combined with is computed in
 * float32; elsewhere it is read, and is a number as the others are.
 */
export function applyUpdates(tasks: readonly UpdateTask[]): void {
  tf.tidy(() => {
    const updates = tf.getBackend() === "webgpu" ? new WebgpuUpdates() : new HostUpdates();
    for (const { update, operands } of tasks) {
      if (operands.param.size > 0) updates.run(update, operands);
    }
  });
}

/** The value of an expression as a new tensor like the parameter. Call inside tidy. */
export function evaluate(expression: Expression, operands: Operands): tf.Tensor {
  let update = evaluations.get(expression);
  if (update === undefined) {
    evaluations.set(expression, update = { slots: { [RESULT]: expression } });
  }
  const result = tf.variable(tf.zerosLike(operands.param), false);
  applyUpdate(update, { ...operands, slots: { ...operands.slots, [RESULT]: result } });
  const value = tf.clone(result);
  result.dispose();
  return value;
}

const RESULT = "the value of an expression";

const evaluations = new WeakMap<Expression, Update>();
