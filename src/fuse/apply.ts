/**
 * Runs update expressions on parameters: one pass over memory each, on every backend.
 *
 * WebAssembly and WebGPU work in place, on data of their own: a variable that shares its data with
 * another tensor (a clone, a reshape, a snapshot somebody keeps) gets a copy first. Other backends
 * compute in JavaScript and assign, since the arrays they hold may be the caller's.
 */
import * as tf from "../tensor/tf.ts";
import type { Update } from "./expression.ts";
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
