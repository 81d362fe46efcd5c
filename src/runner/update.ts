/** The optimizer's step, on what the callbacks make of the gradient. */
import * as tf from "../tensor/tf.ts";
import type { IterationGradient, Totals } from "./gradients.ts";
import type { DeviceGradientValue, GradientValue, Hooks } from "./hooks.ts";
import type { RunView } from "./run_view.ts";

/** Whether the update can do without numbers on the host, and is better off so. */
export function updatesBeforeRead(backend: string, { optimizer }: RunView, hooks: Hooks): boolean {
  return backend === "webgpu" && optimizer.obeysGuards &&
    hooks.having("gradients").every((callback) => callback.deviceGradients !== undefined);
}

/** The step before the read, which leaves everything as it is if loss or gradient is not finite. */
export function updateOnDevice(gradient: IterationGradient, run: RunView, hooks: Hooks): void {
  tf.tidy(() => {
    let value: DeviceGradientValue = { grads: gradient.grads, ...gradient.onDevice() };
    for (const callback of hooks.having("deviceGradients")) {
      const next = callback.deviceGradients(value, run);
      const sameNorm = next.grads === value.grads && next.scale === value.scale;
      value = sameNorm ? next : { ...next, norm: undefined };
    }
    run.optimizer.applyGradients(value.grads, { scale: value.scale, guard: gradient.guard() });
  });
}

/** The step after the read. */
export function update(
  { grads }: IterationGradient,
  { scale, norm }: Totals,
  run: RunView,
  hooks: Hooks,
): void {
  let value: GradientValue = { grads, scale, norm };
  for (const callback of hooks.having("gradients")) {
    const next = callback.gradients(value, run);
    if (value.grads !== grads && next.grads !== value.grads) {
      tf.dispose(Object.values(value.grads));
    }
    value = { ...next, norm: next.grads === grads ? norm * (next.scale / scale) : undefined };
  }
  run.optimizer.applyGradients(value.grads, { scale: value.scale });
  if (value.grads !== grads) tf.dispose(Object.values(value.grads));
}
