import { strict as assert } from "node:assert";
import { test } from "node:test";
import { cosSin, exp, log, pow, powInt, tanh } from "./math.ts";
import { randomStream } from "./random.ts";

/** Distance in units in the last place of the larger magnitude. */
function ulps(a: number, b: number): number {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return 0;
  const e = Math.max(-1022, Math.floor(Math.log2(Math.max(Math.abs(a), Math.abs(b)))));
  return Math.abs(a - b) / 2 ** (e - 52);
}

const draws = randomStream(11).uniform(new Float64Array(20_000), -1, 1);

test("exp(), log(), cosSin() and tanh() agree with the engine's within 3 ulp", () => {
  for (const u of draws) {
    assert.ok(ulps(exp(u * 700), Math.exp(u * 700)) <= 3, `exp ${u * 700}`);
    assert.ok(ulps(exp(u), Math.exp(u)) <= 3, `exp ${u}`);
    const x = Math.exp(u * 50);
    assert.ok(ulps(log(x), Math.log(x)) <= 3, `log ${x}`);
    const [c, s] = cosSin(u * 1000);
    assert.ok(Math.abs(c - Math.cos(u * 1000)) <= 3 * 2 ** -53, `cos ${u * 1000}`);
    assert.ok(Math.abs(s - Math.sin(u * 1000)) <= 3 * 2 ** -53, `sin ${u * 1000}`);
    assert.ok(Math.abs(tanh(u * 5) - Math.tanh(u * 5)) <= 8 * 2 ** -53, `tanh ${u * 5}`);
  }
});

test("the functions are right at the edges", () => {
  assert.deepEqual([exp(0), exp(-1000), exp(1000)], [1, 0, Infinity]);
  assert.deepEqual([log(1), log(0), log(-1), log(Infinity)], [0, -Infinity, NaN, Infinity]);
  assert.ok(ulps(log(5e-324), Math.log(5e-324)) <= 1);
  assert.deepEqual(cosSin(0), [1, 0]);
  assert.ok(Math.abs(cosSin(Math.PI / 2)[0] - 6.123233995736766e-17) < 1e-32);
  assert.deepEqual(cosSin(Math.PI)[0], -1);
  assert.deepEqual([powInt(3, 5), powInt(2, -2), pow(9, 0.5), pow(0, 0.3)], [243, 0.25, 3, 0]);
  assert.ok(ulps(pow(0.7, 1.3), Math.pow(0.7, 1.3)) <= 4);
});
