/** Where a step's time goes: the kernels of the wasm backend, timed one by one. */
import * as tf from "../src/tensor/tf.ts";

/**
 * Prints calls and milliseconds of each kernel in a step, and the whole step. Each call counts with
 * the shortest time that it took in any of `count` steps, which tells kernels apart on a shared
 * machine; the step's time is the shortest too.
 */
export function printKernelTimes(steps: (count: number) => number, count: number): void {
  let names: string[] = [];
  let best: number[] = [];
  let at = 0;
  const configs = tf.getKernelsForBackend("wasm");
  const register = (config: tf.KernelConfig, kernelFunc: tf.KernelFunc): void => {
    tf.unregisterKernel(config.kernelName, "wasm");
    tf.registerKernel({ ...config, kernelFunc });
  };
  for (const config of configs) {
    register(config, (call) => {
      const start = performance.now();
      const result = config.kernelFunc(call);
      const ms = performance.now() - start;
      if (names[at] !== config.kernelName) {
        names = [...names.slice(0, at), config.kernelName];
        best = [...best.slice(0, at), ms];
      }
      best[at] = Math.min(best[at], ms);
      at++;
      return result;
    });
  }
  let total = Infinity;
  for (let i = 0; i < count; i++) {
    at = 0;
    total = Math.min(total, steps(1));
  }
  for (const config of configs) register(config, config.kernelFunc);
  const rows = new Map<string, { calls: number; ms: number }>();
  names.forEach((name, i) => {
    const { calls, ms } = rows.get(name) ?? { calls: 0, ms: 0 };
    rows.set(name, { calls: calls + 1, ms: ms + best[i] });
  });
  const line = (name: string, calls: number, ms: number): void =>
    console.log(
      `${name.padEnd(30)} ${calls.toFixed(0).padStart(6)} calls ${ms.toFixed(3).padStart(8)} ms ` +
        `${(100 * ms / total).toFixed(0).padStart(3)} %`,
    );
  for (const [name, { calls, ms }] of [...rows].sort(([, a], [, b]) => b.ms - a.ms)) {
    line(name, calls, ms);
  }
  line("in kernels", names.length, best.reduce((a, b) => a + b, 0));
  line("a step", names.length, total);
}
