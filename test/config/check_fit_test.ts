/** What `create` finds out by trying: a model that its backend cannot run or train. */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type DataSplits, IterationRunner, type Metric, tf } from "../../mod.ts";
import { selectBackend } from "../../src/backend/select.ts";
import { Lines, smallConfig, withFolder } from "../support/runs.ts";
import { linear, linearConfig, normed, observe, regression, weightsOf } from "../runner/support.ts";

type Output = Parameters<NonNullable<Parameters<typeof linear>[0]>>[0];

/** Runs a kernel that no backend has. */
const missing = (x: tf.Tensor): tf.Tensor => tf.engine().runKernel("NoSuchKernel", { x });

tf.registerKernel({
  kernelName: "NoSuchGradient",
  backendName: "cpu",
  kernelFunc({ inputs, backend }) {
    const y = inputs.y as tf.TensorInfo;
    (backend as tf.KernelBackend).incRef(y.dataId);
    return y;
  },
});

/** The identity, whose gradient is what `gradient` makes of it. */
const withGradient = (gradient: (dy: tf.Tensor) => tf.Tensor) => (y: tf.Tensor) =>
  tf.customGrad((x) => ({ value: tf.clone(x as tf.Tensor), gradFunc: gradient }))(y);

const shapes = String.raw`\(inputs \[2, 3\], targets \[2, 2\]\)$`;

const rows: [what: string, output: (y: Output) => Output, message: RegExp][] = [
  [
    "a kernel of the forward pass",
    missing,
    new RegExp(
      `^model: the model does not fit the training data: .*'NoSuchKernel' not registered.* ${shapes}`,
    ),
  ],
  [
    "a kernel of the gradient",
    withGradient(missing),
    new RegExp(`^model: the model cannot be trained: .*'NoSuchKernel' not registered.* ${shapes}`),
  ],
  [
    "a gradient function",
    (y) => tf.engine().runKernel("NoSuchGradient", { y }),
    new RegExp(`^model: the model cannot be trained: .*was found for NoSuchGradient.* ${shapes}`),
  ],
  [
    "a connection to the loss",
    (y) => tf.tensor2d(new Float32Array(y.size), y.shape as [number, number]),
    new RegExp(
      `^model: the model cannot be trained: variableGrads: cannot find a connection .*${shapes}`,
    ),
  ],
];

for (const [what, output, message] of rows) {
  test(`create refuses a model that lacks ${what}, in one line and without a directory`, async () => {
    await withFolder(async (folder) => {
      await selectBackend("cpu");
      const tensors = tf.memory().numTensors;
      const directory = join(folder, "runs");
      const config = linearConfig({ model: { type: linear(output) }, checkpoint: { directory } });
      await assert.rejects(IterationRunner.create(config, { output: new Lines() }), (error) => {
        assert.equal((error as Error).name, "ConfigError");
        assert.match((error as Error).message, message);
        return !(error as Error).message.includes("\n");
      });
      assert.equal(tf.memory().numTensors, tensors);
      assert.ok(!existsSync(directory));
    });
  });
}

test("a run that is not to be trained needs no gradient", async () => {
  const config = linearConfig({ model: { type: linear(withGradient(missing)) } });
  const run = await IterationRunner.create(config, { output: new Lines(), purpose: "test" });
  assert.ok(Number.isFinite((await run.test()).loss));
  run.dispose();
});

test("the trial leaves parameters, buffers and memory as they were", async () => {
  await selectBackend("cpu");
  const tensors = tf.memory().numTensors;
  const { parameters, buffers } = normed();
  const variables = Object.values({ ...parameters, ...buffers });
  const run = await IterationRunner.create(linearConfig({ model: { type: normed } }), {
    output: new Lines(),
  });
  assert.deepEqual(weightsOf(run), variables.flatMap((v) => [...v.dataSync()]));
  run.dispose();
  tf.dispose(variables);
  assert.equal(tf.memory().numTensors, tensors);
});

test("the trial leaves the random numbers of the run as they were", async () => {
  const drawn: Record<string, number[]> = { true: [], false: [] };
  for (const training of [true, false]) {
    let created = false;
    const model = linear((y, _, context) => {
      if (created) drawn[`${training}`].push(...context.random.uniform(new Float32Array(1)));
      return y;
    });
    const run = await IterationRunner.create(linearConfig({ model: { type: model } }), {
      output: new Lines(),
      purpose: training ? "train" : "test",
    });
    created = true;
    await run.train();
    run.dispose();
  }
  assert.ok(drawn.true.length > 10);
  assert.deepEqual(drawn.true, drawn.false);
});

/** A metric that says it keeps `size` sums and keeps two. */
const sums = (size: number, rows = 0): Metric => ({
  name: "own",
  size,
  higherIsBetter: false,
  perHorizon: true,
  update: (_, target) => tf.ones([target.shape[0]! + rows, 2]),
  finalize: ([sum, count]) => sum / count,
});

const odd: [what: string, config: () => ReturnType<typeof linearConfig>, message: RegExp][] = [
  [
    "a metric that keeps more sums than it says",
    () => linearConfig({ metrics: [sums(1), "mse"] }),
    /^metrics: update of own must return a tensor \[batch, size\] = \[2, 1\], received \[2, 2\]$/,
  ],
  [
    "a metric that keeps fewer sums than it says",
    () => linearConfig({ metrics: ["mse", sums(3)] }),
    /^metrics: update of own must return .* = \[2, 3\], received \[2, 2\]$/,
  ],
  [
    "a metric with other rows",
    () => linearConfig({ metrics: [sums(2, 1)] }),
    /^metrics: update of own must return .* = \[2, 2\], received \[3, 2\]$/,
  ],
  [
    "a metric that returns nothing",
    () => linearConfig({ metrics: [{ ...sums(2), update: () => undefined as never }] }),
    /^metrics: update of own must return .* received undefined$/,
  ],
  [
    "gather of plain arrays",
    () => linearConfig({}, { test: { length: 3, gather: () => ({ inputs: [1, 2] }) as never } }),
    /^field "inputs" of a batch must be \{ data, shape, dtype \} .*, received \[1,2\]$/,
  ],
  [
    "gather of nothing",
    () => linearConfig({}, { train: { length: 3, gather: () => undefined as never } }),
    /^a batch must be an object of fields, received undefined$/,
  ],
  [
    "gather of other rows than asked for",
    () => linearConfig({}, { test: { length: 7, gather: () => regression(7).gather([0, 1, 2]) } }),
    /^test: gather must give one row for each of 2 indices, received 3 rows$/,
  ],
  [
    "a model too large to hold",
    () => {
      const params = { inputLength: 1e9, outputLength: 4, channels: 2 };
      return smallConfig({ model: { type: "NLinear", params } });
    },
    /^a weight must have at most 2\^30 values, received shape \[1000000000,4\]$/,
  ],
  [
    "a part without samples",
    () => linearConfig({}, { test: { length: 0, gather: () => ({}) } }),
    /^data: test must have at least one sample, received none$/,
  ],
  [
    "a curriculum beyond the horizon",
    () =>
      linearConfig({
        callbacks: [{ type: "Curriculum", params: { predictionLength: 3, interval: 1 } }],
      }),
    /^callbacks\[0\]\.params\.prediction_length: must be at most the number of target steps, 2, received 3$/,
  ],
  [
    "a stream that does not fit the model",
    () => linearConfig({}, { train: stream(4) }),
    /^model: the model does not fit the training data: .* \(inputs \[2, 4\], targets \[2, 2\]\)$/,
  ],
  [
    "an empty stream",
    () => linearConfig({}, { train: { *open() {} } }),
    /^epoch 0 of the stream is empty: open\(epoch\) must begin a pass of at least one sample$/,
  ],
];

for (const [what, config, message] of odd) {
  test(`create refuses ${what}, in one line`, async () => {
    await assert.rejects(
      IterationRunner.create(config(), { output: new Lines() }),
      ({ name, message: told }: Error) => {
        assert.match(name, /^(Config|Data)Error$/);
        assert.match(told, message);
        return true;
      },
    );
  });
}

interface Stream {
  opened: number;
  closed: number;
  open(epoch: number): Iterable<never>;
}

/** 10 samples of `width` inputs a pass, and how often it was opened and closed. */
function stream(width = 3): Stream & NonNullable<DataSplits["train"]> {
  return {
    opened: 0,
    closed: 0,
    *open(this: Stream) {
      this.opened++;
      try {
        for (let i = 0; i < 10; i++) {
          yield {
            inputs: {
              data: new Float32Array(width).fill(i / 10),
              shape: [width],
              dtype: "float32",
            },
            targets: { data: Float32Array.of(i, -i), shape: [2], dtype: "float32" },
          } as never;
        }
      } finally {
        this.closed++;
      }
    },
  };
}

test("the trial takes the first batch of a stream, which training then begins with", async () => {
  const train = { iterations: 5, batchSize: 4 };
  const source = stream();
  const run = await IterationRunner.create(linearConfig({ train }, { train: source }), {
    output: new Lines(),
  });
  assert.deepEqual([source.opened, source.closed], [1, 0]);
  await run.train();
  // 4 + 4 + 2 rows, then the second pass.
  assert.deepEqual([source.opened, source.closed], [2, 1]);
  run.dispose();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(source.closed, 2);
  const { watch } = await observe(linearConfig({ train }, { train: stream() }));
  assert.deepEqual(watch.rows, [4, 4, 2, 4, 4]);

  const unfit = stream(4);
  await assert.rejects(
    IterationRunner.create(linearConfig({ train }, { train: unfit }), { output: new Lines() }),
  );
  assert.deepEqual([unfit.opened, unfit.closed], [1, 1]);
});
