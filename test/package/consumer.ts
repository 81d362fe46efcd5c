/** What a TypeScript user writes; it is compiled against the declarations of the package, not run. */
import {
  type CreateOptions,
  type DataContext,
  type DataSplits,
  defineConfig,
  elementwise,
  expression,
  factorSchedule,
  IterationRunner,
  type LossFactory,
  type OptimizerRule,
  options,
  type SchedulerRule,
  tf,
} from "downhill";
import "downhill/models";

const config = defineConfig({
  model: { type: "Mlp", params: { inputLength: 12, outputLength: 4, channels: 2 } },
  data: { type: "ForecastingCsv", params: { path: "a.csv", inputLength: 12, outputLength: 4 } },
  loss: "mse",
  optimizer: { type: "Adam", params: { lr: 1e-3 } },
  train: { iterations: 3, batchSize: 8 },
});
const createOptions: CreateOptions = { workerUrl: new URL("./worker.js", import.meta.url) };
const runner: IterationRunner = await IterationRunner.create(
  { ...config, workers: 2 },
  createOptions,
);
const summary = await runner.train();
const iterations: number = summary.iterations;
const scores: Record<string, number> = await runner.test();
const sum: tf.Tensor = tf.sum(tf.tensor1d([iterations, scores.mse ?? 0]));
sum.dispose();

const schema = options.object({ lr: options.atLeast(0).default(1e-3) });
const optimizer: OptimizerRule = elementwise<options.z.output<typeof schema>, { up: boolean }>({
  name: "SignDescent",
  options: schema,
  form: () => ({ up: false }),
  scalars: ({ lr }) => ({ lr }),
  update: ({ up }) => ({
    param: expression.addScaled(
      expression.param,
      expression.sign(expression.gradient),
      up ? 1 : -1,
    ),
  }),
});
const scheduler: SchedulerRule = factorSchedule<Record<string, unknown>>({
  name: "Same",
  options: options.object({}),
  factor: () => 1,
});
const loss: LossFactory = () => (prediction, target) =>
  tf.losses.meanSquaredError(target, prediction);
const data = (_params: unknown, { seed }: DataContext): DataSplits => ({
  train: { length: seed, gather: () => Promise.reject(new Error("no data")) },
});

// @ts-expect-error -- the declarations are precise: a number is no string
const wrong: string = summary.iterations;
// @ts-expect-error -- a worker's module is named by a URL
const nowhere: CreateOptions = { workerUrl: 1 };
export type Worker = typeof import("downhill/worker");
// @ts-expect-error -- a run needs a model
const missing = defineConfig({ loss: "mse" });
export { data, loss, missing, nowhere, optimizer, scheduler, wrong };
