/** Comparing numbers with a tolerance that is relative for large and absolute for small values. */
import { strict as assert } from "node:assert";

/** Fails where |actual - expected| > tolerance (1 + |expected|), naming the worst index. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = "value",
): void {
  assert.equal(actual.length, expected.length, `${what}: number of values`);
  let worst = 0;
  let ratio = -1;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]) / (1 + Math.abs(expected[i]));
    if (!(error <= ratio)) [worst, ratio] = [i, error];
  }
  assert.ok(
    !(ratio > tolerance) && !Number.isNaN(ratio),
    `${what}[${worst}] is ${actual[worst]}, expected ${expected[worst]}, error ${ratio}`,
  );
}
