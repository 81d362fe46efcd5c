/** Where a step's time goes: the kernels of the wasm backend, timed one by one. */
import * as tf from "../src/tensor/tf.ts";

/** Prints calls and milliseconds a step of each kernel that `steps` runs, and what is left. */
export function printKernelTimes(steps: (count: number) => number, count: number): void {
  const times = new Map<string, { calls: number; ms: number }>();
  const configs = tf.getKernelsForBackend("wasm");
  const register = (config: tf.KernelConfig, kernelFunc: tf.KernelFunc): void => {
    tf.unregisterKernel(config.kernelName, "wasm");
    tf.registerKernel({ ...config, kernelFunc });
  };
  for (const config of configs) {
    register(config, (call) => {
      const start = performance.now();
      const result = config.kernelFunc(call);
      const entry = times.get(config.kernelName) ?? { calls: 0, ms: 0 };
      times.set(config.kernelName, {
        calls: entry.calls + 1,
        ms: entry.ms + performance.now() - start,
      });
      return result;
    });
  }
  const total = steps(count);
  for (const config of configs) register(config, config.kernelFunc);
  const rows = [...times].map(([name, { calls, ms }]) => ({
    name,
    calls: calls / count,
    ms: ms / count,
  })).sort((a, b) => b.ms - a.ms);
  const inKernels = rows.reduce((sum, row) => sum + row.ms, 0);
  const calls = rows.reduce((sum, row) => sum + row.calls, 0);
  const line = (name: string, calls: number, ms: number): void =>
    console.log(
      `${name.padEnd(30)} ${calls.toFixed(0).padStart(6)} calls ${ms.toFixed(3).padStart(8)} ms ` +
        `${(100 * ms / total).toFixed(0).padStart(3)} %`,
    );
  for (const row of rows) line(row.name, row.calls, row.ms);
  line("in kernels", calls, inKernels);
  line("a step", calls, total);
}
