/**
 * A program that uses the package as installed: three iterations on a small made-up series.
 *
 * Node, Bun, Deno and (bundled) a browser run this same file; it prints one line of JSON.
 */
import { IterationRunner } from "downhill";
import "downhill/models";

const rows = 120;
const values = Array.from(
  { length: rows * 2 },
  (_, i) => Math.sin(i / 7) + (i % 2 === 0 ? 0.5 : -0.25),
);
const lengths = { inputLength: 12, outputLength: 4 };

const runner = await IterationRunner.create({
  name: "consumer",
  seed: 1,
  backend: "cpu",
  model: { type: "DLinear", params: { ...lengths, channels: 2 } },
  data: { type: "ForecastingArray", params: { ...lengths, values, channels: 2 } },
  loss: "mse",
  metrics: ["mse", "mae"],
  optimizer: { type: "Adam", params: { lr: 1e-3 } },
  train: { iterations: 3, batchSize: 8 },
  validation: { interval: 3 },
  checkpoint: false,
});
const { finished, iterations, test } = await runner.train();
const scores = await runner.test();
runner.dispose();

globalThis.consumerResult = { finished, iterations, test, scores };
console.log(JSON.stringify(globalThis.consumerResult));
