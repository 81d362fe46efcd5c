/**
 * A program that uses the package as installed: three iterations on a small made-up series.
 *
 * Node, Bun, Deno and (bundled) a browser run this same file; it prints one line of JSON.
 */
import { elementwise, expression, IterationRunner, options, registerOptimizer } from "downhill";
import "downhill/models";

const { addScaled, gradient, neg, param, scalar, sign } = expression;
registerOptimizer(
  "SignDescent",
  elementwise({
    name: "SignDescent",
    options: options.object({ lr: options.atLeast(0).default(1e-3) }),
    form: () => ({}),
    scalars: ({ lr }) => ({ lr }),
    update: () => ({ param: addScaled(param, sign(gradient), neg(scalar("lr"))) }),
  }),
);

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
  optimizer: {
    type: "Adam",
    params: { lr: 1e-3 },
    groups: [{ match: "bias$", optimizer: { type: "SignDescent" } }],
  },
  train: { iterations: 3, batchSize: 8 },
  validation: { interval: 3 },
  checkpoint: false,
});
const { finished, iterations, test } = await runner.train();
const scores = await runner.test();
runner.dispose();

globalThis.consumerResult = { finished, iterations, test, scores };
console.log(JSON.stringify(globalThis.consumerResult));
