import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { readFixture } from "../../test/support/fixture.ts";
import { buildLoss } from "../loss/losses.ts";
import * as tf from "../tensor/tf.ts";
import { buildMetrics, horizonMetrics, type Metric, registerMetric } from "./metrics.ts";

interface Case {
  name: string;
  params: Record<string, unknown>;
  shape: number[];
  targetShape: number[];
  prediction: (number | "NaN")[];
  target: (number | "NaN")[];
  mask?: number[];
  maskShape?: number[];
  sum: number;
  count: number;
}

const fixture = readFixture<{ losses: Case[]; metrics: Case[] }>("losses.json");
const backends = ["cpu", "wasm"] as const;
const TOLERANCE = 3e-6;

function near(actual: number, expected: number, what: string, tolerance = TOLERANCE): void {
  assert.ok(
    Math.abs(actual - expected) <= tolerance * (1 + Math.abs(expected)) ||
      Object.is(actual, expected),
    `${what}: ${actual} instead of ${expected}`,
  );
}

/** The value over batches of `size` samples, added as the runner does: in double, in sample order. */
function evaluate(
  metric: Metric,
  prediction: tf.Tensor,
  target: tf.Tensor,
  mask?: tf.Tensor,
  size = target.shape[0] as number,
): number {
  const totals = new Float64Array(metric.size);
  const cut = (x: tf.Tensor, from: number, n: number) => tf.slice(x, [from], [n]);
  for (let from = 0; from < (target.shape[0] as number); from += size) {
    const n = Math.min(size, target.shape[0] as number - from);
    const sums = tf.tidy(() =>
      metric.update(
        cut(prediction, from, n),
        cut(target, from, n),
        mask && cut(mask, from, n),
      )
    );
    assert.deepEqual(sums.shape, [n, metric.size]);
    assert.equal(sums.dtype, "float32");
    sums.dataSync().forEach((x, i) => totals[i % metric.size] += x);
    sums.dispose();
  }
  return metric.finalize(totals);
}

/** r2 and corr in double precision, by deviations from the means. */
function exactValues(
  p: Float32Array,
  t: Float32Array,
  mask?: Float32Array,
): { r2: number; corr: number } {
  const at = [...p.keys()].filter((i) => mask === undefined || mask[i] === 1);
  const mean = (x: Float32Array) => at.reduce((sum, i) => sum + x[i], 0) / at.length;
  const [mp, mt] = [mean(p), mean(t)];
  const sum = (f: (i: number) => number) => at.reduce((total, i) => total + f(i), 0);
  const tt = sum((i) => (t[i] - mt) ** 2), pp = sum((i) => (p[i] - mp) ** 2);
  return {
    r2: 1 - sum((i) => (t[i] - p[i]) ** 2) / (tt + 1e-6),
    corr: sum((i) => (p[i] - mp) * (t[i] - mt)) / Math.sqrt(pp * tt),
  };
}

function tensors(row: Case): [tf.Tensor, tf.Tensor, tf.Tensor | undefined] {
  const dtype = row.name === "crossEntropy" ? "int32" : "float32";
  return [
    tf.tensor(row.prediction.map(Number), row.shape),
    tf.tensor(row.target.map(Number), row.targetShape, dtype),
    row.mask && tf.tensor(row.mask, row.maskShape),
  ];
}

for (const backend of backends) {
  test(`every metric equals torch for any batching, on ${backend}`, async () => {
    await useBackend(backend);
    for (const row of [...fixture.losses, ...fixture.metrics]) {
      const [metric] = buildMetrics([{ type: row.name, params: row.params }]);
      const title = `${row.name} ${JSON.stringify(row.params)} ${row.mask ? "masked" : ""}`;
      const [p, t, mask] = tensors(row);
      const whole = evaluate(metric, p, t, mask);
      near(whole, row.sum / row.count, title);
      assert.equal(evaluate(metric, p, t, mask, 1), whole, title);
      assert.equal(evaluate(metric, p, t, mask, 2), whole, title);
    }
  });

  test(`a metric equals the loss of its name, on ${backend}`, async () => {
    await useBackend(backend);
    for (const row of fixture.losses) {
      const [p, t, mask] = tensors(row);
      const config = { type: row.name, params: row.params };
      const { sum, count } = buildLoss(config)(p, t, mask);
      const n = typeof count === "number" ? count : count.dataSync()[0];
      near(evaluate(buildMetrics([config])[0], p, t, mask), sum.dataSync()[0] / n, row.name);
    }
  });

  test(`targets of rank 1: values by hand, on ${backend}`, async () => {
    await useBackend(backend);
    const p = tf.tensor1d([2, 2, 5, 9]);
    const t = tf.tensor1d([1, 2, 4, 7]);
    const rows: [string, number, number][] = [
      // all cells, then without the last
      ["mae", 1, 2 / 3],
      ["mse", 1.5, 2 / 3],
      ["rmse", Math.sqrt(1.5), Math.sqrt(2 / 3)],
      ["mape", (1 + 0 + 1 / 4 + 2 / 7) / 4, 1.25 / 3],
      ["smape", (2 / 3 + 0 + 2 / 9 + 4 / 16) / 4, (2 / 3 + 2 / 9) / 3],
      ["huber", (0.5 + 0.5 + 1.5) / 4, 1 / 3],
      // t: mean 3.5, squares 6.25 + 2.25 + 0.25 + 12.25 = 21; without the last 14 / 3
      ["r2", 1 - 6 / 21, 1 - 2 / (14 / 3)],
      // p: mean 4.5, pp 33, pt (2.5 * 2.5 + 1.5 * 2.5 + 0.5 * 0.5 + 3.5 * 4.5) = 26; then 6, 5
      ["corr", 26 / Math.sqrt(33 * 21), 5 / Math.sqrt(6 * 14 / 3)],
    ];
    const mask = tf.tensor1d([1, 1, 1, 0]);
    for (const [name, all, three] of rows) {
      const [metric] = buildMetrics([name]);
      for (const size of [1, 3, 4]) {
        near(evaluate(metric, p, t, undefined, size), all, name);
        near(evaluate(metric, p, t, mask, size), three, `${name} masked`);
        const column = (x: tf.Tensor) => tf.reshape(x, [4, 1]);
        near(evaluate(metric, column(p), column(t), column(mask), size), three, `${name} [4, 1]`);
      }
    }
    near(evaluate(buildMetrics(["wape"])[0], p, t), (1 + 0 + 1 / 4 + 2 / 7) / 4, "wape", 5e-5);
  });

  test(`r2 and corr keep their digits where means are far larger than deviations, on ${backend}`, async () => {
    await useBackend(backend);
    for (const offset of [0, 1e4, -1e6]) {
      const draw = (k: number) => Math.sin(12.9898 * (k + 1)) * 43758.5453 % 1;
      const t = Float32Array.from({ length: 120 }, (_, i) => offset + 2 * draw(i));
      const p = t.map((v, i) => v + draw(1000 + i));
      const mask = t.map((_, i) => i % 5 === 3 ? 0 : 1);
      for (const masked of [undefined, mask]) {
        const expected = exactValues(p, t, masked);
        for (const shape of [[120], [120, 1], [1, 120, 1]]) {
          const [x, y, m] = [p, t, masked].map((v) => v && tf.tensor(v, shape));
          for (const [name, value] of Object.entries(expected)) {
            const [metric] = buildMetrics([name]);
            const what = `${name} at ${offset}, [${shape}], ${masked ? "masked" : "whole"}`;
            const sizes = shape[0] === 1 ? [1] : [120, 7];
            const got = sizes.map((size) => evaluate(metric, x!, y!, m, size));
            near(got[0], value, what, 1e-6);
            for (const other of got) assert.equal(other, got[0], what);
          }
        }
      }
    }
  });

  test(`accuracy: scores, classes, ties, masks and ignored labels, on ${backend}`, async () => {
    await useBackend(backend);
    const [metric] = buildMetrics(["accuracy"]);
    const scores = tf.tensor2d([[0, 3, 1], [2, 2, 0], [0, 1, 4], [5, 0, 0]]);
    const labels = tf.tensor1d([1, 0, 1, -100], "int32");
    near(evaluate(metric, scores, labels), 2 / 3, "scores");
    near(evaluate(metric, scores, labels, tf.tensor1d([0, 1, 1, 1])), 1 / 2, "masked");
    near(evaluate(metric, tf.tensor1d([1, 1, 1, 1]), labels), 2 / 3, "classes");
    near(
      evaluate(
        metric,
        tf.reshape(scores, [2, 2, 3]),
        tf.tensor2d([[1, 2], [2, 0]], [2, 2], "int32"),
      ),
      3 / 4,
      "per step",
    );
    assert.throws(
      () => evaluate(metric, scores, tf.zeros([4, 1], "int32")),
      /^ConfigError: prediction: must have the labels' shape \[4, 1\], or .* received \[4, 3\]$/,
    );
  });

  test(`nothing counted is NaN, a constant series has corr 0, on ${backend}`, async () => {
    await useBackend(backend);
    const names = ["mae", "mse", "rmse", "mape", "smape", "wape", "huber", "r2", "corr"];
    const bad = tf.fill([2, 3, 1], Infinity);
    for (const metric of buildMetrics(names)) {
      assert.ok(Number.isNaN(evaluate(metric, bad, bad, tf.zeros([2, 3, 1]))), metric.name);
    }
    const t = tf.tensor3d([[[1], [2], [3]], [[4], [6], [5]]]);
    const p = tf.tensor3d([[[1], [1], [1]], [[1], [3], [2]]]);
    const [r2, corr] = buildMetrics(["r2", "corr"]);
    near(evaluate(corr, p, t), 0.5, "corr");
    near(evaluate(r2, p, t), ((1 - 5 / (2 + 1e-6)) + (1 - 27 / (2 + 1e-6))) / 2, "r2");
  });

  test(`horizonMetrics: each step by itself, with masks, on ${backend}`, async () => {
    await useBackend(backend);
    const p = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [2, 3, 2]);
    const t = tf.zeros([2, 3, 2]);
    const mask = tf.tensor3d([1, 1, 0, 1, 1, 1], [2, 3, 1]);
    const sets = horizonMetrics(buildMetrics(["mae", "r2", "wape", "rmse"]), [1, 3]);
    assert.deepEqual(sets.map((s) => [s.name, s.horizon]), [["horizon_1", 1], ["horizon_3", 3]]);
    assert.deepEqual(sets.map((s) => s.metrics.map((m) => m.name)), [
      ["mae", "wape", "rmse"],
      ["mae", "wape", "rmse"],
    ]);
    near(evaluate(sets[0].metrics[0], p, t), (1 + 2 + 7 + 8) / 4, "first");
    near(evaluate(sets[1].metrics[0], p, t), (5 + 6 + 11 + 12) / 4, "third");
    near(evaluate(sets[1].metrics[0], p, t, mask), (11 + 12) / 2, "third masked");
    near(evaluate(sets[1].metrics[2], p, t, mask), Math.sqrt((121 + 144) / 2), "third rmse");
    assert.throws(
      () => evaluate(horizonMetrics(buildMetrics(["mae"]), [4])[0].metrics[0], p, t),
      /^ConfigError: horizons\[0\]: must be at most the number of target steps, 3, received 4$/,
    );
  });
}

test("horizonMetrics refuses bad horizons", () => {
  const metrics = buildMetrics(["mae"]);
  const rows: [number[], RegExp][] = [
    [[0], /^horizons\[0\]: must be an integer >= 1, received 0$/],
    [[1, 2.5], /^horizons\[1\]: must be an integer >= 1, received 2.5$/],
    [[3, 3], /^horizons\[1\]: must not repeat, received 3 twice$/],
  ];
  for (const [horizons, message] of rows) {
    assert.throws(() => horizonMetrics(metrics, horizons), { name: "ConfigError", message });
  }
});

test("buildMetrics takes names, objects, metrics and factories, and leaves masks alone", async () => {
  await useBackend("cpu");
  const own: Metric = {
    name: "bias",
    size: 2,
    higherIsBetter: false,
    perHorizon: true,
    update: (p, t) => {
      const e = tf.sum(tf.sub(p, t), 1);
      return tf.stack([e, tf.fill(e.shape, t.shape[1] as number)], 1) as tf.Tensor2D;
    },
    finalize: ([sum, n]) => sum / n,
  };
  registerMetric("squared_bias", () => ({
    ...own,
    name: "squared_bias",
    finalize: ([sum, n]) => (sum / n) ** 2,
  }));
  const p = tf.tensor2d([[1, 4], [3, 0]]);
  const t = tf.tensor2d([[0, 1], [0, NaN]]);
  const metrics = buildMetrics([
    "MaskedMAE",
    { type: "masked_mse", params: { null_value: "NaN" } },
    { type: "huber", params: { delta: 2 } },
    own,
    "squaredBias",
  ]);
  assert.deepEqual(metrics.map((m) => m.name), ["mae", "mse", "huber", "bias", "squared_bias"]);
  near(evaluate(metrics[1], p, t), (1 + 9 + 9) / 3, "mse without NaN targets");
  const mask = tf.tensor2d([[1, 1], [1, 0]]);
  near(evaluate(metrics[0], p, t, mask), 7 / 3, "mae");
  near(evaluate(metrics[2], p, t, mask), (0.5 + 4 + 4) / 3, "huber");
  assert.deepEqual([...mask.dataSync()], [1, 1, 1, 0]);
  near(evaluate(metrics[4], p, tf.zeros([2, 2])), 4, "squared bias");
});

test("buildMetrics refuses unknown names, repeats and the name loss", () => {
  const rows: [unknown, RegExp][] = [
    ["mse", /^metrics: must be an array of metrics, received "mse"$/],
    [["mea"], /^metrics\[0\]: unknown metric "mea"; did you mean 'mae'\?/],
    [["mse", "MSELoss"], /^metrics\[1\]: must not repeat, received "mse" twice$/],
    [[{ type: "r2", params: { x: 1 } }], /^metrics\[0\].params.x: unknown option "x" for r2/],
    [[3], /^metrics\[0\]: must be a name, \{ type, params \} or a metric, received 3$/],
    [[() => ({ name: "loss", size: 1, update() {}, finalize() {} })], /must not be named "loss"/],
    [[() => 3], /^metrics\[0\]: the factory must return/],
  ];
  for (const [list, message] of rows) {
    assert.throws(() => buildMetrics(list as string[]), { name: "ConfigError", message });
  }
});
