/** What the tests of the loop share: a linear model in the open, array data, and a callback that watches. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  ArrayDataset,
  type Callback,
  type DataSplits,
  type ForwardContext,
  type ForwardOutput,
  type IterableDataset,
  IterationRunner,
  type Model,
  nn,
  type RunConfig,
  type RunView,
  type Summary,
  tf,
} from "../../mod.ts";
import { Lines, type Overrides, smallConfig } from "../support/runs.ts";

type Batch = Record<string, tf.Tensor>;

/** prediction = inputs W + b with W [3, 2] and b [2] of fixed values; `more` may replace the output. */
export function linear(
  more: (prediction: tf.Tensor, batch: Batch, context: ForwardContext) => ForwardOutput = (y) => y,
  buffers: () => Record<string, tf.Variable> = () => ({}),
): () => Model {
  return () => {
    const parameters = {
      weight: tf.tidy(() => tf.variable(tf.tensor2d([0.3, -0.2, 0.1, 0.4, -0.5, 0.2], [3, 2]))),
      bias: tf.tidy(() => tf.variable(tf.tensor1d([0.05, -0.1]))),
    };
    return {
      parameters,
      buffers: buffers(),
      forward: (batch, context) =>
        more(
          tf.add(tf.matMul(batch.inputs as tf.Tensor2D, parameters.weight), parameters.bias),
          batch,
          context,
        ),
    };
  };
}

/** Batch norm of the inputs before a linear map, and a counter of forward passes in training. */
export function normed(): Model {
  const v = (make: () => tf.Tensor, trainable = true) =>
    tf.tidy(() => tf.variable(make(), trainable));
  const parameters = {
    gain: v(() => tf.ones([3])),
    bias: v(() => tf.zeros([3])),
    weight: v(() => tf.tensor2d([0.3, -0.2, 0.1, 0.4, -0.5, 0.2], [3, 2])),
  };
  const buffers = {
    mean: v(() => tf.zeros([3]), false),
    variance: v(() => tf.ones([3]), false),
    passes: v(() => tf.scalar(0, "int32"), false),
    frozen: v(() => tf.tensor1d([0.1, 1 / 3, 0.7, 1e-7, 123.456]), false),
  };
  return {
    parameters,
    buffers,
    forward({ inputs }, { training }) {
      const { mean, variance, passes } = buffers;
      if (training) tf.tidy(() => passes.assign(tf.add(passes, tf.scalar(1, "int32"))));
      const { gain, bias, weight } = parameters;
      const x = nn.batchNorm(inputs, { gain, bias, mean, variance, training });
      return tf.matMul(x as tf.Tensor2D, weight as tf.Tensor2D);
    },
  };
}

/** `rows` samples of inputs [3] and targets [2] from `from` on; every `missing`-th target cell is NaN and masked. */
export function regression(rows: number, { from = 0, missing = 0 } = {}): ArrayDataset {
  const inputs = new Float32Array(rows * 3), targets = new Float32Array(rows * 2);
  for (let i = 0; i < rows; i++) {
    const k = from + i;
    inputs.set([Math.sin(k), Math.cos(1.7 * k), Math.sin(0.3 * k + 1)], 3 * i);
    targets.set([
      Math.sin(k) - 0.5 * Math.cos(1.7 * k) + 0.1 * Math.sin(9 * k),
      0.3 + Math.sin(0.3 * k + 1) + 0.1 * Math.cos(5 * k),
    ], 2 * i);
  }
  if (missing === 0) {
    return new ArrayDataset({
      inputs: { data: inputs, shape: [rows, 3] },
      targets: { data: targets, shape: [rows, 2] },
    });
  }
  const mask = targets.map((_, i) => i % missing === 0 ? 0 : 1);
  return new ArrayDataset({
    inputs: { data: inputs, shape: [rows, 3] },
    targets: { data: targets.map((v, i) => mask[i] === 0 ? NaN : v), shape: [rows, 2] },
    targetsMask: { data: mask, shape: [rows, 2] },
  });
}

/** A stream of `count` samples a pass, each pass from the next one on, and how often it was opened and closed. */
export function stream(count: number): IterableDataset & { opened: number; closed: number } {
  const { inputs, targets } = regression(count).fields;
  const state = {
    opened: 0,
    closed: 0,
    *open(epoch: number) {
      state.opened++;
      try {
        for (let i = 0; i < count; i++) {
          const k = (i + epoch) % count;
          const part = (data: typeof inputs.data, n: number) => ({
            data: data.slice(n * k, n * k + n),
            shape: [n],
            dtype: "float32" as const,
          });
          yield { inputs: part(inputs.data, 3), targets: part(targets.data, 2) };
        }
      } finally {
        state.closed++;
      }
    },
  };
  return state;
}

/** `rows` samples whose inputs are all `value(row)`, with targets of 0. */
export function plain(rows: number, value: (row: number) => number): ArrayDataset {
  const inputs = Float32Array.from({ length: 3 * rows }, (_, i) => value(Math.floor(i / 3)));
  return new ArrayDataset({
    inputs: { data: inputs, shape: [rows, 3] },
    targets: { data: new Float32Array(2 * rows), shape: [rows, 2] },
  });
}

/** A config of {@link linear} on 20 training, 9 validation and 7 test rows, whatever is not overridden. */
export function linearConfig(overrides: Overrides = {}, splits: DataSplits = {}): RunConfig {
  const data = {
    train: regression(20),
    validation: regression(9, { from: 100 }),
    test: regression(7, { from: 200 }),
    ...splits,
  };
  return smallConfig({
    model: { type: linear() },
    data: { type: () => data },
    optimizer: { type: "SGD", params: { lr: 0.05 } },
    train: { iterations: 10, batchSize: 4 },
    ...overrides,
  });
}

/** A callback that counts and keeps what went by. */
export class Watch implements Callback {
  readonly name = "Watch";
  readonly iterations: number[] = [];
  readonly losses: number[] = [];
  readonly rates: number[] = [];
  /** Rows of every training batch. */
  readonly rows: number[] = [];
  readonly logged: Record<string, Record<number, Record<string, number>>> = {};
  readonly records: string[] = [];

  batch(batch: Record<string, { shape: readonly number[] }>): never {
    this.rows.push(Object.values(batch)[0].shape[0]);
    return batch as never;
  }

  updateEnd(run: RunView): void {
    this.iterations.push(run.state.iteration);
    this.losses.push(run.lastLoss);
    this.rates.push(run.optimizer.paramGroups[0].lr);
  }

  log(phase: string, iteration: number, values: Record<string, number>): void {
    (this.logged[phase] ??= {})[iteration] = { ...values };
    this.records.push(`${phase} ${iteration}`);
  }
}

/** What {@link observe} saw. */
export interface Observed {
  summary: Summary;
  watch: Watch;
  /** Parameters and buffers after training, in the order of the model. */
  weights: number[];
  lines: string[];
}

/** Trains a config with a {@link Watch} beside its callbacks. */
export async function observe(config: RunConfig): Promise<Observed> {
  const watch = new Watch();
  const output = new Lines();
  const callbacks = [watch, ...config.callbacks ?? []];
  const run = await IterationRunner.create({ ...config, callbacks }, { output });
  try {
    const summary = await run.train();
    return { summary, watch, weights: weightsOf(run), lines: output.lines };
  } finally {
    run.dispose();
  }
}

/** The values of all parameters and buffers of a run. */
export function weightsOf(run: RunView): number[] {
  const { parameters, buffers } = run.model;
  return Object.values({ ...parameters, ...buffers }).flatMap((v) => [...v.dataSync()]);
}

/** The records of `metrics.jsonl` in a run directory. */
export function records(folder: string, name: string): Record<string, unknown>[] {
  const text = readFileSync(join(folder, name, "metrics.jsonl"), "utf8");
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}
