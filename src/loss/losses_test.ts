import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { readFixture } from "../../test/support/fixture.ts";
import * as tf from "../tensor/tf.ts";
import { buildLoss, type Loss, mae, mape, mse, smape } from "./losses.ts";

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
  gradient: number[];
}

const { losses } = readFixture<{ losses: Case[] }>("losses.json");
const backends = ["cpu", "wasm"] as const;
/** float32 rounding of some tens of additions of numbers of size 10. */
const TOLERANCE = 3e-6;

function near(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    assert.ok(
      error <= tolerance * (1 + Math.abs(expected[i])),
      `at ${i}: ${actual[i]} instead of ${expected[i]}`,
    );
  }
}

type Measured = {
  sum: number;
  count: number;
  gradient: Float32Array;
};

/** Sum, count and gradient of the sum. */
function measure(loss: Loss, p: tf.Tensor, t: tf.Tensor, mask?: tf.Tensor): Measured {
  const scope = tf.engine();
  scope.startScope();
  try {
    let count = NaN;
    const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => {
      const result = loss(x, t, mask);
      count = typeof result.count === "number" ? result.count : result.count.dataSync()[0];
      return result.sum;
    })(p);
    return { sum: value.dataSync()[0], count, gradient: grad.dataSync() as Float32Array };
  } finally {
    scope.endScope();
  }
}

function measureCase(row: Case, maskType: "bool" | "float32" = "bool"): Measured {
  const integer = row.name === "crossEntropy";
  return measure(
    buildLoss({ type: row.name, params: row.params }),
    tf.tensor(row.prediction.map(Number), row.shape),
    tf.tensor(row.target.map(Number), row.targetShape, integer ? "int32" : "float32"),
    row.mask && tf.tensor(row.mask, row.maskShape, maskType),
  );
}

for (const backend of backends) {
  test(`every loss equals torch, NaN under the mask, on ${backend}`, async () => {
    await useBackend(backend);
    for (const row of losses) {
      const got = measureCase(row);
      const title = `${row.name} ${JSON.stringify(row.params)} ${row.mask ? "masked" : ""}`;
      try {
        near([got.sum], [row.sum], TOLERANCE);
        near([got.count], [row.count], 1e-6);
        near(got.gradient, row.gradient, TOLERANCE);
      } catch (error) {
        throw new Error(`${title}: ${(error as Error).message}`);
      }
    }
  });

  test(`a float mask gives what a bool mask gives, and stays as it was, on ${backend}`, async () => {
    await useBackend(backend);
    for (const row of losses.filter((r) => r.mask)) {
      assert.deepEqual(measureCase(row, "float32"), measureCase(row));
    }
    const mask = tf.tensor2d([[1, 0], [1, 1]]);
    measure(mse, tf.ones([2, 2]), tf.zeros([2, 2]), mask);
    assert.deepEqual([...mask.dataSync()], [1, 0, 1, 1]);
  });

  test(`a mask broadcasts, and all 0 gives sum 0, count 0, gradient 0, on ${backend}`, async () => {
    await useBackend(backend);
    const p = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]);
    const t = tf.zeros([2, 2, 2]);
    const rows: [number[], number[], number, number][] = [
      [[1, 0], [2, 1, 1], 10, 4],
      [[1, 0], [1, 2, 1], 14, 4],
      [[0, 1], [2], 20, 4],
      [[1], [1], 36, 8],
    ];
    for (const [values, shape, sum, count] of rows) {
      const got = measure(mae, p, t, tf.tensor(values, shape));
      assert.deepEqual([got.sum, got.count], [sum, count]);
    }
    const bad = tf.fill([2, 2, 2], NaN);
    for (const type of ["mae", "mse", "mape", "smape", "wape", "huber", "smoothL1"]) {
      const got = measure(buildLoss(type), bad, tf.clone(bad), tf.zeros([2, 2, 2]));
      near([got.sum, got.count, ...got.gradient], new Array(10).fill(0), 0);
    }
    const labels = tf.tensor1d([0, 1], "int32");
    const got = measure(buildLoss("crossEntropy"), tf.fill([2, 3], NaN), labels, tf.zeros([2]));
    near([got.sum, got.count, ...got.gradient], new Array(8).fill(0), 0);
  });

  test(`edge cells: equal, zero and left-out values, on ${backend}`, async () => {
    await useBackend(backend);
    const p = tf.tensor1d([2, 0, 0, 3]);
    const t = tf.tensor1d([2, 0, 4e-5, -3]);
    const equal = measure(mae, p, t);
    near(equal.gradient, [0, 0, -1, 1], 0);
    const percent = measure(mape, p, t);
    assert.deepEqual([percent.sum, percent.count], [2, 2]);
    near(percent.gradient, [0, 0, 0, 1 / 3], 1e-7);
    const symmetric = measure(smape, p, t);
    near([symmetric.sum, symmetric.count], [4, 4], 1e-6);
    near(symmetric.gradient.subarray(0, 2), [0, 0], 0);
  });

  test(`crossEntropy takes -Infinity scores and refuses unknown labels on ${backend}`, async () => {
    await useBackend(backend);
    const scores = tf.tensor2d([0, -Infinity, 0, 1, 2, 3], [2, 3]);
    const loss = buildLoss("crossEntropy");
    const good = measure(loss, scores, tf.tensor1d([0, 2], "int32"));
    near([good.sum], [Math.log(2) + 0.4076059644443803], 1e-6);
    assert.ok(good.gradient.every(Number.isFinite));
    for (const label of [3, -1]) {
      const bad = measure(loss, scores, tf.tensor1d([0, label], "int32"));
      assert.ok(!Number.isFinite(bad.sum), `label ${label} gave ${bad.sum}`);
    }
  });
}

/** Independent float64 values of the sum, for finite differences; mask null counts everything. */
const references: Record<string, (p: number[], t: number[], valid: boolean[]) => number> = {
  mae: (p, t, v) => cells(p, t, v, (a, b) => Math.abs(a - b)),
  mse: (p, t, v) => cells(p, t, v, (a, b) => (a - b) ** 2),
  huber: (p, t, v) =>
    cells(p, t, v, (a, b) => {
      const e = Math.abs(a - b);
      return e <= 1 ? e * e / 2 : e - 0.5;
    }),
  mape: (p, t, v) => cells(p, t, v, (a, b) => Math.abs(b) > 5e-5 ? Math.abs((a - b) / b) : 0),
  smape: (p, t, v) => cells(p, t, v, (a, b) => 2 * Math.abs(a - b) / (Math.abs(a) + Math.abs(b))),
  // [2, 3, 2]: time is the middle axis.
  wape: (p, t, v) => {
    let sum = 0;
    for (const [b, c] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
      let error = 0, size = 0;
      for (let s = 0; s < 3; s++) {
        const i = (b * 3 + s) * 2 + c;
        if (v[i]) error += Math.abs(p[i] - t[i]), size += Math.abs(t[i]);
      }
      sum += error / (size + 5e-5);
    }
    return sum;
  },
};

function cells(
  p: number[],
  t: number[],
  valid: boolean[],
  f: (p: number, t: number) => number,
): number {
  return p.reduce((sum, x, i) => valid[i] ? sum + f(x, t[i]) : sum, 0);
}

for (const backend of backends) {
  test(`gradients equal finite differences in float64 on ${backend}`, async () => {
    await useBackend(backend);
    const p = [0.7, -1.2, 2.5, 0.3, -0.4, 1.9, -2.2, 0.6, 1.1, -0.9, 0.2, 3.1];
    const t = [0.2, -0.7, 0.4, 1.6, -1.5, 2.1, 1.0, 0.9, -0.8, -1.3, 0.5, 2.2];
    const h = 1e-6;
    for (const masked of [false, true]) {
      const valid = p.map((_, i) => !masked || (i * 7) % 5 !== 1);
      for (const [name, reference] of Object.entries(references)) {
        const expected = p.map((_, i) => {
          const at = (d: number) => reference(p.map((x, j) => i === j ? x + d : x), t, valid);
          return (at(h) - at(-h)) / (2 * h);
        });
        const got = measure(
          buildLoss(name),
          tf.tensor(p, [2, 3, 2]),
          tf.tensor(t, [2, 3, 2]),
          masked ? tf.tensor(valid.map(Number), [2, 3, 2], "bool") : undefined,
        );
        near([got.sum], [reference(p, t, valid)], TOLERANCE);
        near(got.gradient, expected, 1e-5);
      }
    }
  });
}

test("batches of a loss add up to the loss of one batch", async () => {
  await useBackend("cpu");
  for (const row of losses.filter((r) => r.shape.length === 3 && r.name !== "crossEntropy")) {
    const cut = (values: (number | "NaN")[] | undefined, b: number) =>
      values && tf.tensor(values.slice(b * 10, b * 10 + 10).map(Number), [1, 5, 2]);
    const parts = [0, 1, 2].map((b) =>
      measure(
        buildLoss({ type: row.name, params: row.params }),
        cut(row.prediction, b) as tf.Tensor,
        cut(row.target, b) as tf.Tensor,
        cut(row.mask, b),
      )
    );
    near([parts.reduce((a, x) => a + x.sum, 0)], [row.sum], TOLERANCE);
    assert.equal(parts.reduce((a, x) => a + x.count, 0), row.count);
  }
});

test("sums of a million cells keep float32 accuracy", async () => {
  await useBackend("wasm");
  const p = tf.fill([1000, 1000], 0.1);
  const got = tf.tidy(() => mse(p, tf.zeros([1000, 1000])).sum.dataSync()[0]);
  near([got / 1e6], [Math.fround(0.1) ** 2], 2e-5);
  p.dispose();
});

test("a wrong shape is refused in one line", async () => {
  await useBackend("cpu");
  const rows: [string, number[], number[], number[] | undefined, RegExp][] = [
    [
      "mse",
      [2, 3],
      [2, 3, 1],
      undefined,
      /^prediction: must have the target's shape \[2, 3, 1\], received \[2, 3\]$/,
    ],
    ["wape", [2], [2, 1], undefined, /target's shape \[2, 1\]/],
    [
      "mae",
      [2, 3],
      [2, 3],
      [2],
      /^mask: must broadcast to the target's shape \[2, 3\], received \[2\]$/,
    ],
    ["mae", [], [], undefined, /batch axis/],
    ["crossEntropy", [2, 3], [2, 1], undefined, /\[2, 1, classes\], received \[2, 3\]$/],
  ];
  for (const [type, p, t, mask, message] of rows) {
    assert.throws(
      () => buildLoss(type)(tf.zeros(p), tf.zeros(t), mask && tf.ones(mask)),
      { name: "ConfigError", message },
    );
  }
  assert.throws(
    () =>
      buildLoss({ type: "crossEntropy", params: { weight: [1, 2] } })(
        tf.zeros([2, 3]),
        tf.zeros([2], "int32"),
      ),
    /weight: must have one number for each of the 3 classes, received 2/,
  );
});
