/** A page: selects each backend and computes on it. */
import { selectBackend } from "../../src/backend/select.ts";
import * as tf from "../../src/tensor/tf.ts";

const lines: string[] = [];
const log = (line: string) => lines.push(line);
const console_: string[] = [];
for (const level of ["log", "info", "warn", "error"] as const) {
  const old = console[level];
  console[level] = (...args: unknown[]) => {
    console_.push(args.map(String).join(" "));
    old(...args);
  };
}

/** The gradient of a product, with chained ops; 2 x^T x w for x = [[1, 2], [3, 4]], w = [1, -1]. */
async function gradient(): Promise<number[]> {
  const x = tf.tensor2d([[1, 2], [3, 4]]);
  const grad = tf.grad((w: tf.Tensor) => x.matMul(w).square().sum());
  return [...await grad(tf.tensor2d([[1], [-1]])).data()];
}

/** The number of gradients of an LSTM layer, whose initializer needs a chained op. */
function lstm(): number {
  const model = tf.sequential({ layers: [tf.layers.lstm({ units: 2, inputShape: [3, 2] })] });
  const loss = () => tf.sum(model.apply(tf.ones([1, 3, 2])) as tf.Tensor) as tf.Scalar;
  return Object.keys(tf.variableGrads(loss).grads).length;
}

async function main(): Promise<unknown> {
  const results: unknown[] = [];
  for (const preference of ["cpu", "wasm", "auto", "webgpu"] as const) {
    const { name, simd } = await selectBackend(preference, { log, wasmPath: "/wasm" });
    results.push([preference, name, simd, await gradient(), lstm()]);
  }
  return {
    results,
    lines,
    console: console_,
    threads: tf.env().get("WASM_HAS_MULTITHREAD_SUPPORT"),
  };
}

(globalThis as unknown as { done(value: unknown): void }).done(await main());
