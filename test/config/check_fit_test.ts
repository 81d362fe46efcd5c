/** What `create` finds out by trying: a model that its backend cannot run or train. */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IterationRunner, tf } from "../../mod.ts";
import { selectBackend } from "../../src/backend/select.ts";
import { Lines, withFolder } from "../support/runs.ts";
import { linear, linearConfig, normed, weightsOf } from "../runner/support.ts";

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
    new RegExp(`^model: the model cannot be trained: .*not found for NoSuchGradient.* ${shapes}`),
  ],
  [
    "a connection to the loss",
    (y) => tf.tensor2d(new Float32Array(y.size), y.shape as [number, number]),
    new RegExp(`^model: the model cannot be trained: Cannot find a connection .*${shapes}`),
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
