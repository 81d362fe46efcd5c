/** Models of the type Layers in a whole run: on wasm the weights and losses of the cpu backend. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ArrayDataset, type DataSplits } from "../../mod.ts";
import { linearConfig, observe } from "../runner/support.ts";
import { noise } from "../support/kernels.ts";

type Layer = readonly [className: string, config: Record<string, unknown>];

const same = { padding: "same", kernel_size: 3 };
const head: Layer = ["Dense", { name: "head", units: 2 }];

/** A family, the shape of its inputs, its layers, and how many integers there are where it reads some. */
const ROWS: readonly [string, number[], readonly Layer[], number?][] = [
  ["convolutions, batch normalization, pooling", [8, 7, 2], [
    ["Conv2D", { name: "a", filters: 4, ...same, use_bias: false }],
    ["BatchNormalization", { name: "b" }],
    ["Activation", { name: "c", activation: "relu" }],
    ["MaxPooling2D", { name: "d", pool_size: [2, 2] }],
    ["SeparableConv2D", { name: "e", filters: 3, ...same, activation: "elu" }],
    ["GlobalAveragePooling2D", { name: "f" }],
    head,
  ]],
  ["an embedding, a bidirectional LSTM with dropout", [6], [
    ["Embedding", { name: "a", input_dim: 9, output_dim: 4, mask_zero: true }],
    ["Bidirectional", {
      name: "b",
      merge_mode: "concat",
      layer: {
        class_name: "LSTM",
        config: { name: "lstm", units: 5, return_sequences: true, dropout: 0.2 },
      },
    }],
    ["GRU", { name: "c", units: 4, recurrent_dropout: 0.1 }],
    head,
  ], 9],
  ["ConvLSTM2D, layer normalization, noise", [3, 5, 4, 1], [
    ["ConvLSTM2D", { name: "a", filters: 3, kernel_size: [2, 2] }],
    ["LayerNormalization", { name: "b" }],
    ["Flatten", { name: "c" }],
    ["Dense", { name: "d", units: 6, activation: "softplus" }],
    ["GaussianNoise", { name: "e", stddev: 0.1 }],
    head,
  ]],
];

function samples(rows: number, shape: number[], ids: number | undefined, seed: number) {
  const values = noise(rows * shape.reduce((a, b) => a * b), seed);
  return new ArrayDataset({
    inputs: {
      data: ids === undefined ? values : values.map((x) => Math.floor((x + 1) / 2 * ids)),
      shape: [rows, ...shape],
    },
    targets: { data: noise(2 * rows, seed + 1), shape: [rows, 2] },
  });
}

for (const [title, shape, layers, ids] of ROWS) {
  test(`a run of Layers on wasm is that on cpu: ${title}`, async () => {
    const [first, ...rest] = layers;
    const json = {
      class_name: "Sequential",
      config: {
        name: "net",
        layers: [
          [first[0], { ...first[1], batch_input_shape: [null, ...shape] }] as const,
          ...rest,
        ].map(([class_name, config]) => ({ class_name, config })),
      },
    };
    const data: DataSplits = {
      train: samples(20, shape, ids, 1),
      validation: samples(9, shape, ids, 3),
      test: samples(7, shape, ids, 5),
    };
    const config = (backend: "cpu" | "wasm") =>
      linearConfig({
        backend,
        model: { type: "Layers", params: { json } },
        optimizer: { type: "SGD", params: { lr: 0.02, momentum: 0.9 } },
        train: { iterations: 30, batchSize: 6 },
      }, data);
    const cpu = await observe(config("cpu"));
    const wasm = await observe(config("wasm"));
    assert.equal(wasm.watch.losses.length, 30);
    cpu.watch.losses.forEach((loss, i) => {
      const error = Math.abs(wasm.watch.losses[i] - loss);
      assert.ok(error <= 1e-3 * loss, `loss ${i}: ${wasm.watch.losses[i]}, cpu ${loss}`);
    });
    assert.ok(cpu.watch.losses.some((loss) => loss < 0.9 * cpu.watch.losses[0]));
    const largest = Math.max(...cpu.weights.map(Math.abs));
    cpu.weights.forEach((weight, i) => {
      const error = Math.abs(wasm.weights[i] - weight);
      assert.ok(error <= 1e-3 * largest, `weight ${i}: ${wasm.weights[i]}, cpu ${weight}`);
    });
  });
}
