import { strict as assert } from "node:assert";
import { test } from "node:test";
import { randomStream, threefry } from "./random.ts";

test("threefry() gives the known answers of Random123 (20 rounds)", () => {
  const rows: [number[], number[]][] = [
    [[0, 0, 0, 0], [0x6b200159, 0x99ba4efe]],
    [[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0x1cb996fc, 0xbb002be7]],
    [[0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3], [0xc4923a9c, 0x483df7a0]],
  ];
  for (const [[k0, k1, c0, c1], expected] of rows) {
    const out = new Uint32Array(2);
    threefry(k0 | 0, k1 | 0, c0 | 0, c1 | 0, out, 0);
    assert.deepEqual([...out], expected);
  }
});

test("a stream repeats, its forks differ, and a split read equals one read", () => {
  const whole = randomStream(42, "dropout", 7).uniform(new Float32Array(10));
  const split = randomStream(42, "dropout", 7);
  const parts = [...split.uniform(new Float32Array(4)), ...split.uniform(new Float32Array(6))];
  assert.deepEqual([...whole], parts);
  const other = randomStream(42, "dropout", 8).uniform(new Float32Array(10));
  assert.notDeepEqual([...whole], [...other]);
  assert.notDeepEqual(randomStream(1).fork(2).key, randomStream(2).fork(1).key);
});

test("uniform() and normal() have the moments of their distributions", () => {
  const n = 200_000;
  const u = randomStream(3).uniform(new Float64Array(n));
  const z = randomStream(4).normal(new Float64Array(n));
  const moment = (x: Float64Array, k: number) => x.reduce((sum, v) => sum + v ** k, 0) / n;
  assert.ok(Math.abs(moment(u, 1) - 1 / 2) < 5 * Math.sqrt(1 / 12 / n));
  assert.ok(Math.abs(moment(u, 2) - 1 / 3) < 5 * Math.sqrt(4 / 45 / n));
  assert.ok(Math.abs(moment(z, 1)) < 5 * Math.sqrt(1 / n));
  assert.ok(Math.abs(moment(z, 2) - 1) < 5 * Math.sqrt(2 / n));
  assert.ok(Math.abs(moment(z, 4) - 3) < 5 * Math.sqrt(96 / n));
});

test("permutation() covers each index once and every order about equally often", () => {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 6000; seed++) {
    const p = [...randomStream(seed, "order").permutation(3)];
    assert.deepEqual([...p].sort(), [0, 1, 2]);
    counts.set(p.join(), (counts.get(p.join()) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 150, `${count}`);
});
