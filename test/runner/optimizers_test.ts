/** Optimizers that ask more of a run than an update: averaged weights, second gradients, closures. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, tf } from "../../mod.ts";
import { decodeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { registeredOptimizers } from "../../src/optim/registry.ts";
import { assertClose } from "../support/close.ts";
import { Lines, smallConfig, withFolder } from "../support/runs.ts";
import { linearConfig, normed, observe, weightsOf } from "./support.ts";

for (const type of ["AdamWScheduleFree", "SGDScheduleFree", "RAdamScheduleFree"]) {
  test(`${type}: evaluation and best weights are the averages, the state keeps the raw ones`, async () => {
    await withFolder(async (directory) => {
      const optimizer = {
        type,
        params: { lr: 0.05, ...type.startsWith("R") ? { betas: [0.9, 0.9] } : {} },
      };
      let evaluated: number[] = [];
      const raw: number[][] = [];
      const follow: Callback = {
        name: "Follow",
        updateEnd: (run) => void raw.push(weightsOf(run)),
        evaluationStart: (run) => void (evaluated = weightsOf(run)),
      };
      const config = (interval: number) =>
        linearConfig({
          name: `run-${interval}`,
          optimizer,
          train: { iterations: 8, batchSize: 4 },
          validation: { interval },
          checkpoint: { directory },
          callbacks: [follow],
        });
      const run = await IterationRunner.create(config(8), { output: new Lines() });
      const summary = await run.train();
      assert.deepEqual(weightsOf(run), raw[7]);
      assert.notDeepEqual(evaluated, raw[7]);
      const folder = join(directory, "run-8", "checkpoints");
      const read = (file: string) =>
        decodeSafetensors(new Uint8Array(readFileSync(join(folder, file))), file).tensors;
      const best = read("best.safetensors"), step = read("step-00000008.safetensors");
      const values = (tensors: typeof best, prefix: string) =>
        ["weight", "bias"].flatMap((name) => [...tensors[prefix + name].data as Float32Array]);
      assert.deepEqual(values(best, ""), evaluated);
      assert.deepEqual(values(step, "model."), raw[7]);
      assert.equal((await run.validate()).loss, summary.best!.value);
      assert.deepEqual(weightsOf(run), raw[7]);
      run.dispose();
      // Evaluating after every iteration does not disturb the training.
      const seen = raw.splice(0);
      const often = await IterationRunner.create(config(1), { output: new Lines() });
      await often.train();
      assert.deepEqual(raw, seen);
      often.dispose();
    });
  });
}

test("SAM in a run takes the second gradient from the same batch, clipped and dropped out alike", async () => {
  const overrides = {
    train: { iterations: 6, batchSize: 4, accumulate: 2, clipGrad: { maxNorm: 0.5 } },
  };
  const base = { type: "SGD", params: { lr: 0.1, momentum: 0.9 } };
  const run = (optimizer: Record<string, unknown>) =>
    observe(linearConfig({ ...overrides, optimizer }));
  const plain = await run(base);
  const still = await run({ type: "SAM", params: { rho: 0, optimizer: base } });
  assert.deepEqual(still.weights, plain.weights);
  assert.deepEqual(still.watch.losses, plain.watch.losses);
  const sharp = await run({ type: "SAM", params: { rho: 0.5, optimizer: base } });
  assert.equal(sharp.watch.losses[0], plain.watch.losses[0]);
  assert.notDeepEqual(sharp.weights, plain.weights);
});

test("SAM in a run leaves the buffers that the first pass has made", async () => {
  const base = { type: "SGD", params: { lr: 0.1 } };
  const buffers = async (optimizer: Record<string, unknown>) => {
    const train = { iterations: 1, batchSize: 4 };
    const { weights } = await observe(linearConfig({ model: { type: normed }, optimizer, train }));
    return weights.slice(12);
  };
  const plain = await buffers(base);
  assert.deepEqual(await buffers({ type: "SAM", params: { rho: 0.5, optimizer: base } }), plain);
  // Means of the batch, and one pass counted.
  assert.ok(plain.slice(0, 3).every((mean) => mean !== 0));
  assert.equal(plain[6], 1);
});

test("SAM in a run makes the update of a loop by hand", async () => {
  const optimizer = {
    type: "SAM",
    params: { rho: 0.3, optimizer: { type: "SGD", params: { lr: 0.1 } } },
  };
  const config = linearConfig({ optimizer, train: { iterations: 1, batchSize: 4 } });
  const batches: Record<string, { data: ArrayLike<number>; shape: readonly number[] }>[] = [];
  const grab: Callback = {
    name: "Grab",
    batch(batch) {
      batches.push(batch as never);
      return batch;
    },
  };
  const run = await IterationRunner.create({ ...config, callbacks: [grab] }, {
    output: new Lines(),
  });
  const [weight, bias] = ["weight", "bias"].map((name) => run.model.parameters[name]);
  const start = [weight, bias].map((variable) => tf.variable(variable.clone(), true));
  await run.train();
  const [x, y] = ["inputs", "target"].map((name) => {
    const { data, shape } = batches[0][name] ??
      Object.values(batches[0])[name === "inputs" ? 0 : 1];
    return tf.tensor(Float32Array.from(data), [...shape]);
  });
  const gradients = () => {
    const { grads } = tf.variableGrads(() => {
      const prediction = tf.add(
        tf.matMul(x as tf.Tensor2D, start[0] as unknown as tf.Tensor2D),
        start[1],
      );
      return tf.mean(tf.square(tf.sub(prediction, y))) as tf.Scalar;
    }, start);
    return start.map((variable) => grads[variable.name]);
  };
  const first = gradients();
  const norm = Math.sqrt(first.reduce((sum, g) => sum + tf.sum(tf.square(g)).dataSync()[0], 0));
  const before = start.map((variable) => variable.clone());
  start.forEach((variable, i) => variable.assign(tf.add(variable, tf.mul(first[i], 0.3 / norm))));
  const second = gradients();
  const expected = before.flatMap((
    value,
    i,
  ) => [...tf.sub(value, tf.mul(second[i], 0.1)).dataSync()]);
  assertClose(weightsOf(run), expected, 1e-6);
  run.dispose();
});

test("LBFGS is refused by a run in one line", async () => {
  await assert.rejects(
    IterationRunner.create(smallConfig({ optimizer: { type: "LBFGS" } }), { output: new Lines() }),
    /^ConfigError: optimizer\.type: LBFGS needs step\(closure\) and one loss for many steps, which a run/,
  );
});

const params: Record<string, Record<string, unknown>> = {
  ASAM: { optimizer: "SGD" },
  Lookahead: { optimizer: "AdamW" },
  Muon: { aux: true },
  SAM: { optimizer: "SGD" },
};

test("every other optimizer trains in a run and resumes with the same bits", async () => {
  for (const { name: type } of registeredOptimizers()) {
    if (type === "LBFGS") continue;
    await withFolder(async (directory) => {
      const config = (name: string, iterations: number) =>
        linearConfig({
          name,
          optimizer: { type, params: { ...params[type] } },
          train: { iterations, batchSize: 4 },
          validation: { interval: 2 },
          checkpoint: { directory, interval: 2 },
        });
      const whole = await observe(config("whole", 4));
      await observe(config("stopped", 2));
      const resumed = await observe(config("stopped", 4));
      assert.deepEqual(resumed.weights, whole.weights, type);
    });
  }
});
