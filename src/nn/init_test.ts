import { strict as assert } from "node:assert";
import { test } from "node:test";
import { randomStream } from "../core/random.ts";
import * as init from "./init.ts";

const stream = () => randomStream(3).fork("weights");

function moments(x: Float32Array): { mean: number; std: number; max: number } {
  const mean = x.reduce((s, v) => s + v, 0) / x.length;
  const std = Math.sqrt(x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length);
  return { mean, std, max: x.reduce((m, v) => Math.max(m, Math.abs(v)), 0) };
}

test("initialisers have the spread of their rules", () => {
  // [title, initialiser, shape, standard deviation, largest magnitude]
  const rows: [string, init.Initializer, number[], number, number][] = [
    ["kaimingUniform", init.kaimingUniform(), [100, 300], 0.1 / Math.sqrt(3), 0.1],
    ["linearBias", init.linearBias(25), [30000], 0.2 / Math.sqrt(3), 0.2],
    ["xavierUniform", init.xavierUniform(), [100, 200], Math.sqrt(2 / 300), Math.sqrt(6 / 300)],
    ["xavierNormal", init.xavierNormal(), [100, 200], Math.sqrt(2 / 300), Infinity],
    [
      "conv fan-out",
      init.varianceScaling({ scale: 2, mode: "fanOut" }),
      [
        3,
        3,
        20,
        100,
      ],
      Math.sqrt(2 / 900),
      Math.sqrt(6 / 900),
    ],
    ["truncatedNormal", init.truncatedNormal(0, 0.5), [200, 100], 0.5 * 0.8796, 1],
    ["normal", init.normal(0, 2), [200, 100], 2, Infinity],
    ["uniform", init.uniform(-1, 1), [200, 100], 1 / Math.sqrt(3), 1],
  ];
  for (const [title, f, shape, std, max] of rows) {
    const got = moments(f(shape, stream()));
    assert.ok(Math.abs(got.mean) < 0.03 * std, `${title}: mean ${got.mean}`);
    assert.ok(Math.abs(got.std / std - 1) < 0.02, `${title}: std ${got.std}, expected ${std}`);
    assert.ok(got.max <= max * (1 + 1e-6), `${title}: largest ${got.max}`);
  }
});

test("initialisers are functions of the stream's key", () => {
  for (const f of [init.kaimingUniform(), init.truncatedNormal(), init.orthogonal()]) {
    assert.deepEqual(f([8, 4], stream()), f([8, 4], stream()));
    assert.notDeepEqual(f([8, 4], stream()), f([8, 4], randomStream(3).fork("other")));
  }
});

test("orthogonal() has orthonormal columns, or rows where there are more columns", () => {
  for (const [rows, cols] of [[6, 6], [40, 12], [12, 40]]) {
    const q = init.orthogonal(2)([rows, cols], stream());
    const tall = rows >= cols;
    const at = (i: number, j: number) => tall ? q[i * cols + j] : q[j * cols + i];
    const [n, k] = tall ? [rows, cols] : [cols, rows];
    for (let a = 0; a < k; a++) {
      for (let b = 0; b <= a; b++) {
        let dot = 0;
        for (let i = 0; i < n; i++) dot += at(i, a) * at(i, b);
        assert.ok(Math.abs(dot - (a === b ? 4 : 0)) < 1e-6, `${rows}x${cols}: ${a}.${b} = ${dot}`);
      }
    }
  }
});

test("identity(), zeros and ones fill as they say", () => {
  assert.deepEqual([...init.identity(3)([2, 2], stream())], [3, 0, 0, 3]);
  assert.deepEqual([...init.zeros([2], stream())], [0, 0]);
  assert.deepEqual([...init.ones([2], stream())], [1, 1]);
  assert.throws(() => init.identity()([2, 3], stream()), /must be square, received \[2,3\]/);
});
