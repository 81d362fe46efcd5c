/** Curriculum, ExponentialMovingAverage and LearningRateMonitor in a run. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, Curriculum, IterationRunner, loadWeights, tf } from "../../mod.ts";
import { decodeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { assertClose } from "../support/close.ts";
import { Lines, smallConfig, withFolder } from "../support/runs.ts";
import { linear, linearConfig, observe, weightsOf } from "./support.ts";

test("Curriculum: lengths by iteration", () => {
  const rows: [Record<string, number>, number[]][] = [
    [{ prediction_length: 4, interval: 2 }, [1, 1, 2, 2, 3, 3, 4, 4, 4, 4]],
    [{ prediction_length: 5, interval: 3, step_size: 2 }, [2, 2, 2, 4, 4, 4, 5, 5, 5, 5]],
    [
      { prediction_length: 3, interval: 1, warm_up_iterations: 4 },
      [3, 3, 3, 3, 1, 2, 3, 3, 3, 3],
    ],
  ];
  for (const [params, expected] of rows) {
    const curriculum = new Curriculum(params);
    assert.deepEqual(expected.map((_, i) => curriculum.lengthAt(i + 1)), expected);
  }
});

test("Curriculum: training counts the first steps only, validation all of them", async () => {
  const items: number[][] = [];
  const count: Callback = {
    name: "Count",
    loss: (value, { iteration }) => {
      items.push([iteration, Number(value.count)]);
      return value;
    },
  };
  const shapes: string[] = [];
  const config = (curriculum: boolean) =>
    smallConfig({
      train: { iterations: 5, batchSize: 8, accumulate: 2 },
      optimizer: { type: "SGD", params: { lr: 0 } },
      loss: {
        type: () => (p: tf.Tensor, t: tf.Tensor, _: unknown) => {
          shapes.push(p.shape.join());
          return { sum: tf.sum(tf.square(tf.sub(p, t))) as tf.Scalar, count: p.size };
        },
      },
      callbacks: curriculum
        ? [{ type: "CurriculumLearning", params: { predictionLength: 4, interval: 1 } }, count]
        : [],
    });
  const { watch } = await observe(config(true));
  // 8 samples of L steps and 2 channels, two leaves an iteration.
  assert.deepEqual(items.map(([, n]) => n), [1, 2, 3, 4, 4].flatMap((l) => [16 * l, 16 * l]));
  assert.deepEqual(items.map(([i]) => i), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
  assert.ok(shapes.includes("8,1,2"));
  const full = await observe(config(false));
  assert.deepEqual(watch.logged.val, full.watch.logged.val);
  assert.notEqual(watch.losses[0], full.watch.losses[0]);
  assert.equal(watch.losses[4], full.watch.losses[4]);
});

const decay = 0.7;

for (const [every, after] of [[1, 0], [2, 1], [1, 3]]) {
  test(`ExponentialMovingAverage: the formula, update_every ${every}, update_after_step ${after}`, async () => {
    await withFolder(async (directory) => {
      let average: number[] | undefined;
      let evaluated: number[] = [];
      const follow: Callback = {
        name: "Follow",
        updateEnd(run) {
          const n = run.state.iteration;
          if (n <= after || (n - after) % every !== 0) return;
          const now = weightsOf(run);
          average = average === undefined
            ? now
            : average.map((a, i) => decay * a + (1 - decay) * now[i]);
        },
        evaluationStart: (run) => void (evaluated = weightsOf(run)),
        evaluationEnd(run) {
          if (run.state.iteration > 0) assert.notDeepEqual(weightsOf(run), evaluated);
        },
      };
      const ema = {
        type: "ExponentialMovingAverage",
        params: { decay, updateEvery: every, updateAfterStep: after },
      };
      const config = linearConfig({
        name: "run",
        train: { iterations: 7, batchSize: 4 },
        validation: { interval: 7 },
        checkpoint: { directory },
        callbacks: [ema, follow],
      });
      const run = await IterationRunner.create(config, { output: new Lines() });
      const summary = await run.train();
      assertClose(evaluated, average!, 1e-6, "evaluated weights");
      // The model and the checkpoint hold the raw weights, best.safetensors the averages.
      const raw = weightsOf(run);
      assert.notDeepEqual(raw, evaluated);
      const folder = join(directory, "run", "checkpoints");
      const saved = decodeSafetensors(
        new Uint8Array(readFileSync(join(folder, "step-00000007.safetensors"))),
        "step",
      ).tensors;
      const values = (name: string) => [...saved[name].data as Float32Array];
      assert.deepEqual([...values("model.weight"), ...values("model.bias")], raw);
      const prefix = "callback.ExponentialMovingAverage.";
      assert.deepEqual([...values(`${prefix}weight`), ...values(`${prefix}bias`)], evaluated);
      assert.equal((await run.validate()).loss, summary.best!.value);
      assert.deepEqual(weightsOf(run), raw);
      // What predict answers is the averages' doing.
      const inputs = [[1, 2, 3]];
      const { prediction } = await run.predict(inputs);
      await loadWeights(join(folder, "best.safetensors"), run.model.parameters);
      assert.deepEqual(weightsOf(run), evaluated);
      const expected = [0, 1].map((c) =>
        inputs[0].reduce((sum, x, k) => sum + x * evaluated[2 * k + c], evaluated[6 + c])
      );
      assertClose([...prediction.dataSync()], expected, 1e-6);
      prediction.dispose();
      run.dispose();
    });
  });
}

test("ExponentialMovingAverage: before the first average the raw weights are evaluated", async () => {
  const overrides = { train: { iterations: 3, batchSize: 4 }, validation: { interval: 1 } };
  const raw = await observe(linearConfig(overrides));
  const late = await observe(linearConfig({
    ...overrides,
    callbacks: [{ type: "EMA", params: { update_after_step: 2 } }],
  }));
  assert.deepEqual(late.watch.logged.val, raw.watch.logged.val);
  assert.deepEqual(late.weights, raw.weights);
});

test("tied parameters: one gradient, one step, and averages that come off again", async () => {
  const tied = () => {
    const weight = tf.tidy(() =>
      tf.variable(tf.tensor2d([0.3, -0.2, 0.1, 0.4, -0.5, 0.2], [3, 2]))
    );
    const model = linear()();
    return {
      ...model,
      parameters: { ...model.parameters, weight, other: weight },
      forward: ({ inputs }: Record<string, tf.Tensor>) =>
        tf.add(tf.matMul(inputs as tf.Tensor2D, weight), model.parameters.bias),
    };
  };
  for (const shards of [1, 3]) {
    const config = (type: () => never) =>
      linearConfig({
        model: { type },
        shards,
        train: { iterations: 6, batchSize: 6, clipGrad: { maxNorm: 0.2 } },
        optimizer: { type: "SGD", params: { lr: 0.1, momentum: 0.9 } },
        callbacks: [{ type: "EMA", params: { decay: 0.5 } }],
      });
    const one = await observe(config(linear() as never));
    const two = await observe(config(tied as never));
    assert.deepEqual(two.watch.losses, one.watch.losses);
    assert.deepEqual(two.weights.slice(0, 8), one.weights);
    assert.deepEqual(two.watch.logged.val, one.watch.logged.val);
  }
});

test("LearningRateMonitor: the rate of every group, as used by the iteration", async () => {
  const { watch } = await observe(linearConfig({
    optimizer: {
      type: "SGD",
      params: { lr: 0.1 },
      groups: [{ match: "bias", lr: 0.02 }],
    },
    scheduler: { type: "StepLR", params: { step_size: 2, gamma: 0.5 } },
    train: { iterations: 4, batchSize: 4 },
    log: { interval: 1, progress: false },
    callbacks: ["LearningRateMonitor"],
  }));
  const rates = Object.values(watch.logged.train).map((record) => [
    record["lr/group0"],
    record["lr/group1"],
  ]);
  assert.deepEqual(rates, [[0.02, 0.1], [0.02, 0.1], [0.01, 0.05], [0.01, 0.05]]);
});
