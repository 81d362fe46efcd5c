/** What a TypeScript user writes; it is compiled against the declarations of the package, not run. */
import { defineConfig, IterationRunner, tf } from "downhill";
import "downhill/models";

const config = defineConfig({
  model: { type: "Mlp", params: { inputLength: 12, outputLength: 4, channels: 2 } },
  data: { type: "ForecastingCsv", params: { path: "a.csv", inputLength: 12, outputLength: 4 } },
  loss: "mse",
  optimizer: { type: "Adam", params: { lr: 1e-3 } },
  train: { iterations: 3, batchSize: 8 },
});
const runner: IterationRunner = await IterationRunner.create(config);
const summary = await runner.train();
const iterations: number = summary.iterations;
const scores: Record<string, number> = await runner.test();
const sum: tf.Tensor = tf.sum(tf.tensor1d([iterations, scores.mse ?? 0]));
sum.dispose();

// @ts-expect-error -- the declarations are precise: a number is no string
const wrong: string = summary.iterations;
// @ts-expect-error -- a run needs a model
const missing = defineConfig({ loss: "mse" });
export { missing, wrong };
