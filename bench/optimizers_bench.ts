/**
 * AdamW against `tf.train.adam` on stock wasm, in one run, and against a plain copy of its bytes.
 *
 *     deno run -A bench/optimizers_bench.ts          bun bench/optimizers_bench.ts
 *     node_modules/.bin/esbuild bench/optimizers_bench.ts --bundle --platform=node --format=esm \
 *       --packages=external --outfile=build/optimizers_bench.mjs && node build/optimizers_bench.mjs
 *
 * The result is checked first: both without decay give the same parameters. Rounds alternate; the
 * figures are medians, those of the fastest rounds in brackets.
 */
import "@tensorflow/tfjs-backend-wasm";
import { buildOptimizer } from "../src/optim/builder.ts";
import * as tf from "../src/tensor/tf.ts";

const ROUNDS = 31;

interface Shape {
  readonly title: string;
  readonly tensors: number;
  readonly elements: number;
  /** Updates a round. */
  readonly updates: number;
}

const shapes: readonly Shape[] = [
  { title: "1 tensor of 4M elements", tensors: 1, elements: 4 << 20, updates: 1 },
  { title: "200 tensors of 1k elements", tensors: 200, elements: 1000, updates: 5 },
];

/** An optimizer with its own parameters and gradients. */
interface Contender {
  readonly parameters: Record<string, tf.Variable>;
  readonly step: () => void;
}

function contender(
  prefix: string,
  { tensors, elements }: Shape,
  make: (parameters: Record<string, tf.Variable>) => tf.Optimizer,
): Contender {
  const parameters: Record<string, tf.Variable> = {};
  const gradients: Record<string, tf.Tensor> = {};
  for (let i = 0; i < tensors; i++) {
    const name = `${prefix}${i}`;
    const values = Float32Array.from({ length: elements }, (_, k) => Math.sin(k + i));
    parameters[name] = tf.variable(tf.tensor(values), true, name);
    gradients[name] = tf.tensor(values.map((x) => 0.01 * x * x + 1e-3));
  }
  const optimizer = make(parameters);
  return { parameters, step: () => optimizer.applyGradients(gradients) };
}

function milliseconds(updates: number, step: () => void): number {
  const begin = performance.now();
  for (let i = 0; i < updates; i++) step();
  return (performance.now() - begin) / updates;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** Largest difference of the parameters, which moved by about lr an update. */
function difference(a: Contender, b: Contender): number {
  const others = Object.values(b.parameters);
  return Math.max(
    ...Object.values(a.parameters).map((variable, i) => {
      const other = others[i].dataSync();
      return (variable.dataSync() as Float32Array).reduce(
        (most, x, k) => Math.max(most, Math.abs(x - other[k])),
        0,
      );
    }),
  );
}

function run(shape: Shape): void {
  const lr = 1e-3;
  const stock = contender("stock", shape, () => tf.train.adam(lr));
  const ours = contender(
    "ours",
    shape,
    (parameters) => buildOptimizer({ type: "AdamW", params: { lr, weightDecay: 0 } }, parameters),
  );
  for (let i = 0; i < 5; i++) {
    stock.step();
    ours.step();
  }
  // tfjs puts epsilon elsewhere, which shows in the ninth digit of these steps.
  const error = difference(stock, ours);
  if (!(error < 1e-6)) throw new Error(`${shape.title}: the optimizers differ by ${error}`);

  // AdamW reads 4 arrays and writes 3; a copy of n bytes moves 2 n.
  const bytes = 7 * 4 * shape.tensors * shape.elements;
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) });
  const heap = new Uint8Array(memory.buffer);
  const half = Math.floor(bytes / 2);
  const copy = () => void heap.copyWithin(half, 0, half);
  const times: Record<string, number[]> = { stock: [], ours: [], copy: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times.stock.push(milliseconds(shape.updates, stock.step));
    times.ours.push(milliseconds(shape.updates, ours.step));
    times.copy.push(milliseconds(shape.updates, copy));
  }
  const figures = (pick: (times: number[]) => number) => {
    const [slow, fast, plain] = [times.stock, times.ours, times.copy].map(pick);
    return {
      times: `tf.train.adam ${slow.toFixed(2)} ms, AdamW ${fast.toFixed(2)} ms`,
      ratio: `${(slow / fast).toFixed(1)}x`,
      rate: `${(bytes / fast / 1e6).toFixed(1)} of ${(bytes / plain / 1e6).toFixed(1)} GB/s`,
      share: `${(100 * plain / fast).toFixed(0)} %`,
    };
  };
  const middle = figures(median), best = figures((times) => Math.min(...times));
  console.log(`${shape.title}: ${middle.times}: ${middle.ratio} (${best.ratio})`);
  if (shape.tensors === 1) {
    console.log(
      `  moves ${middle.rate} of a plain copy: ${middle.share} (${best.rate}, ${best.share})`,
    );
  }
  tf.dispose([stock.parameters, ours.parameters]);
}

tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
await tf.setBackend("wasm");
for (const shape of shapes) run(shape);
