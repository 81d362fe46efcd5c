/** The optimizer's step, on what the callbacks make of the gradient. */
import * as tf from "../tensor/tf.ts";
import type { IterationGradient } from "./engine.ts";
import type { DeviceTotals, Totals } from "./gradients.ts";
import type { DeviceGradientValue, GradientValue, Hooks } from "./hooks.ts";
import { changed } from "./hook_values.ts";
import type { RunView } from "./run_view.ts";

/**
 * The step before the read, where that is better and possible without numbers on the host; it leaves
 * everything as it is if loss or gradient is not finite.
 *
 * @returns Whether it was made, here or by the engine.
 */
export function updateBeforeRead(
  { grads, onDevice, isApplied = false }: IterationGradient,
  run: RunView,
  hooks: Hooks,
): boolean {
  if (isApplied) return true;
  const isPossible = onDevice !== undefined && run.optimizer.obeysGuards &&
    hooks.having("gradients").every((callback) => callback.deviceGradients !== undefined);
  if (isPossible) updateOnDevice(grads, onDevice, run, hooks);
  return isPossible;
}

function updateOnDevice(
  grads: Record<string, tf.Tensor>,
  onDevice: DeviceTotals,
  run: RunView,
  hooks: Hooks,
): void {
  tf.tidy(() => {
    let value: DeviceGradientValue = { grads, ...onDevice.factors() };
    for (const callback of hooks.having("deviceGradients")) {
      const returned = callback.deviceGradients(value, run);
      const next = changed(callback, "deviceGradients", value, returned);
      const sameNorm = next.grads === value.grads && next.scale === value.scale;
      value = sameNorm ? next : { ...next, norm: undefined };
    }
    run.optimizer.applyGradients(value.grads, { scale: value.scale, guard: onDevice.guard() });
  });
}

/** The step after the read. Unless a callback replaces them, the gradients are not looked at. */
export async function update(
  gradient: IterationGradient,
  { scale, norm }: Totals,
  run: RunView,
  hooks: Hooks,
): Promise<void> {
  const { grads } = gradient;
  let value: GradientValue = { grads, scale, norm };
  try {
    for (const callback of hooks.having("gradients")) {
      const next = changed(callback, "gradients", value, callback.gradients(value, run));
      if (value.grads !== grads && next.grads !== value.grads) {
        tf.dispose(Object.values(value.grads));
      }
      value = { ...next, norm: next.grads === grads ? norm * (next.scale / scale) : undefined };
    }
    await gradient.apply(value);
  } finally {
    if (value.grads !== grads) tf.dispose(Object.values(value.grads));
  }
}
