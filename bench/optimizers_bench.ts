/**
 * AdamW against `tf.train.adam` on stock wasm, in one run, and against a plain copy of its bytes; then
 * other types against their counterparts of tfjs, or against `tf.train.adam` where there is none.
 *
 *     deno run -A bench/optimizers_bench.ts          bun bench/optimizers_bench.ts
 *     node_modules/.bin/esbuild bench/optimizers_bench.ts --bundle --platform=node --format=esm \
 *       --packages=external --outfile=build/optimizers_bench.mjs && node build/optimizers_bench.mjs
 *         --write FILE      writes the figures into the section of this runtime of a Markdown file
 *
 * The result is checked first: both without decay give the same parameters (those of other types as
 * far as tfjs' rule is torch's). Rounds alternate; the figures are medians, those of the fastest
 * rounds in brackets.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import "@tensorflow/tfjs-backend-wasm";
import { buildOptimizer, type OptimizerConfig } from "../src/optim/builder.ts";
import * as tf from "../src/tensor/tf.ts";

const ROUNDS = 31;

const { values: options } = parseArgs({
  args: process.argv.slice(2),
  options: { write: { type: "string" } },
});

/** What was printed. */
const lines: string[] = [];

function print(line: string): void {
  lines.push(line);
  console.log(line);
}

interface Shape {
  readonly title: string;
  readonly tensors: number;
  readonly elements: number;
  /** Updates a round. */
  readonly updates: number;
  /** The length of a row, where the tensors are matrices. */
  readonly columns?: number;
}

const shapes: readonly Shape[] = [
  { title: "1 tensor of 4M elements", tensors: 1, elements: 4 << 20, updates: 1 },
  { title: "200 tensors of 1k elements", tensors: 200, elements: 1000, updates: 5 },
];

/** A type, what it is measured against, and how far apart five updates may lead them. */
interface Pair {
  readonly config: OptimizerConfig;
  readonly stock: () => tf.Optimizer;
  readonly tolerance?: number;
}

const lr = 1e-3;
const adam = () => tf.train.adam(lr);

const pairs: readonly Pair[] = [
  { config: { type: "SGD", params: { lr } }, stock: () => tf.train.sgd(lr), tolerance: 1e-6 },
  {
    config: { type: "SGD", params: { lr, momentum: 0.9 } },
    stock: () => tf.train.momentum(lr, 0.9),
    tolerance: 1e-6,
  },
  {
    config: { type: "Adagrad", params: { lr, initial_accumulator_value: 0.1 } },
    stock: () => tf.train.adagrad(lr),
    tolerance: 1e-5,
  },
  // tfjs puts epsilon into the root, which is felt for gradients near 1e-3.
  {
    config: { type: "RMSprop", params: { lr, alpha: 0.9 } },
    stock: () => tf.train.rmsprop(lr),
    tolerance: 5e-3,
  },
  // tfjs divides by the root of the sum before the update: another rule.
  { config: { type: "Adadelta" }, stock: () => tf.train.adadelta(1, 0.9, 1e-6) },
  { config: { type: "Adamax", params: { lr } }, stock: () => tf.train.adamax(lr), tolerance: 1e-5 },
  { config: { type: "Lion", params: { lr } }, stock: adam },
  { config: { type: "NAdam", params: { lr } }, stock: adam },
  { config: { type: "Lamb", params: { lr } }, stock: adam },
];

/** What each pair updates. */
const matrices: Shape = { title: "", tensors: 8, elements: 1 << 18, updates: 1, columns: 512 };

/** An optimizer with its own parameters and gradients. */
interface Contender {
  readonly parameters: Record<string, tf.Variable>;
  readonly step: () => void;
}

function contender(
  prefix: string,
  { tensors, elements, columns }: Shape,
  make: (parameters: Record<string, tf.Variable>) => tf.Optimizer,
): Contender {
  const parameters: Record<string, tf.Variable> = {};
  const gradients: Record<string, tf.Tensor> = {};
  const shape = columns === undefined ? [elements] : [elements / columns, columns];
  for (let i = 0; i < tensors; i++) {
    const name = `${prefix}${i}`;
    const values = Float32Array.from({ length: elements }, (_, k) => Math.sin(k + i));
    parameters[name] = tf.variable(tf.tensor(values, shape), true, name);
    gradients[name] = tf.tensor(values.map((x) => 0.01 * x * x + 1e-3), shape);
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
  const stock = contender("stock", shape, adam);
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
  print(`${shape.title}: ${middle.times}: ${middle.ratio} (${best.ratio})`);
  if (shape.tensors === 1) {
    print(
      `  moves ${middle.rate} of a plain copy: ${middle.share} (${best.rate}, ${best.share})`,
    );
  }
  tf.dispose([stock.parameters, ours.parameters]);
}

function compare({ config, stock, tolerance = Infinity }: Pair, index: number): void {
  const theirs = contender(`stock${index}.`, matrices, stock);
  const ours = contender(`ours${index}.`, matrices, (given) => buildOptimizer(config, given));
  for (let i = 0; i < 5; i++) {
    theirs.step();
    ours.step();
  }
  const { type, params } = config;
  const error = difference(theirs, ours);
  if (!(error < tolerance)) throw new Error(`${type}: the optimizers differ by ${error}`);
  const times: Record<string, number[]> = { stock: [], ours: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times.stock.push(milliseconds(1, theirs.step));
    times.ours.push(milliseconds(1, ours.step));
  }
  const [slow, fast] = [median(times.stock), median(times.ours)];
  const whom = stock === adam ? "tf.train.adam" : "tfjs";
  print(
    `${type} ${JSON.stringify(params ?? {})}: ${fast.toFixed(2)} ms, ` +
      `${whom} ${slow.toFixed(2)} ms: ${(slow / fast).toFixed(1)}x`,
  );
  tf.dispose([theirs.parameters, ours.parameters]);
}

tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
await tf.setBackend("wasm");
for (const shape of shapes) run(shape);
print("8 matrices of 512 x 512:");
pairs.forEach(compare);
if (options.write !== undefined) write(options.write);

/** Puts what was printed in the place of this runtime's section. */
function write(file: string): void {
  const { Deno, Bun } = globalThis as unknown as Record<
    string,
    { version: string | { deno: string } } | undefined
  >;
  const runtime = Deno
    ? `Deno ${(Deno.version as { deno: string }).deno}`
    : Bun
    ? `Bun ${Bun.version}`
    : `Node ${process.version}`;
  const head = "# Updates of optimizers\n\n" +
    `${
      os.cpus()[0]?.model
    }, ${os.cpus().length} cores, shared. Medians of ${ROUNDS} rounds against stock wasm;\n` +
    "`bench/optimizers_bench.ts --write FILE` writes the section of its runtime.\n";
  const [, ...sections] = existsSync(file) ? readFileSync(file, "utf8").split("\n## ") : [];
  const [kind] = runtime.split(" ");
  const others = sections.filter((section) => !section.startsWith(kind)).map((s) => s.trimEnd());
  const own = `${runtime}\n\n\`\`\`\n${lines.join("\n")}\n\`\`\``;
  const all = [...others, own].sort().map((section) => `\n## ${section}\n`);
  writeFileSync(file, head + all.join(""));
}
