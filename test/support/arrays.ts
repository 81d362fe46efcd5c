/** Arrays of the PyTorch fixtures, and comparing tensors with them. */
import { strict as assert } from "node:assert";
import * as tf from "../../src/tensor/tf.ts";

/** An array as the fixtures' Python scripts write it. */
export interface FixtureArray {
  readonly shape: number[];
  readonly data: number[];
}

/** The array as a float32 tensor. */
export function tensorOf(array: FixtureArray): tf.Tensor {
  return tf.tensor(array.data, array.shape, "float32");
}

/**
 * Asserts |actual - expected| <= tolerance * max(floor, largest |expected|) for every element.
 *
 * `floor` keeps a tensor whose true value is zero (the gradient of a key's bias) from being compared
 * relative to its rounding errors.
 */
export async function assertNear(
  actual: tf.Tensor,
  expected: FixtureArray,
  tolerance: number,
  what: string,
  floor = 1e-30,
): Promise<void> {
  assert.deepEqual(actual.shape, expected.shape, `${what}: shape`);
  const values = await actual.data();
  const largest = expected.data.reduce((m, v) => Math.max(m, Math.abs(v)), floor);
  expected.data.forEach((value, i) => {
    const error = Math.abs(values[i] - value) / largest;
    assert.ok(
      error <= tolerance,
      `${what}[${i}]: expected ${value}, received ${values[i]}, error ${error} of ${largest}`,
    );
  });
}
