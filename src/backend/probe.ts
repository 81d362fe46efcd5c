/** A few operations with known results, run on a backend before it is trusted. */
import * as tf from "../tensor/tf.ts";

/** Relative to 1 + |expected|: far above float32 rounding, far below any wrong kernel or driver. */
const TOLERANCE = 1e-4;

/**
 * Runs a matrix product, relu, exp, a reduction and a gradient on the current backend, reads them
 * back and compares them with known values.
 *
 * @throws {Error} With the operation, the value and the expected value of the first difference.
 */
export async function selfTest(): Promise<void> {
  const forward = hostForwarding(false);
  try {
    for (const [name, compute, expected] of CASES) {
      const tensor = tf.tidy(compute);
      const values = await tensor.data();
      tensor.dispose();
      compare(name, values, expected);
    }
  } finally {
    hostForwarding(forward);
  }
}

/** Sets whether tfjs' WebGPU backend computes small tensors on the host; returns the old setting. */
function hostForwarding(value: boolean): boolean {
  if (tf.getBackend() !== "webgpu") return true;
  const old = tf.env().getBool("WEBGPU_CPU_FORWARD");
  tf.env().set("WEBGPU_CPU_FORWARD", value);
  return old;
}

// Small integers, so that the products below are exact: a 40 x 36 and a 36 x 44 matrix.
const [M, K, N] = [40, 36, 44];
const LEFT = Float32Array.from({ length: M * K }, (_, i) => (i * 7) % 5 - 2);
const RIGHT = Float32Array.from({ length: K * N }, (_, i) => (i * 11) % 7 - 3);

function product(): number[] {
  const out = new Array<number>(M * N).fill(0);
  for (let i = 0; i < M; i++) {
    for (let j = 0; j < N; j++) {
      for (let k = 0; k < K; k++) out[i * N + j] += LEFT[i * K + k] * RIGHT[k * N + j];
    }
  }
  return out;
}

const CASES: [string, () => tf.Tensor, number[]][] = [
  [
    "matMul",
    () => tf.matMul(tf.tensor2d([[1, 2, 3], [4, 5, 6]]), tf.tensor2d([[7, 8], [9, 10], [11, 12]])),
    [58, 64, 139, 154],
  ],
  [`matMul ${M}x${K}x${N}`, () => tf.matMul(left(), right()), product()],
  ["relu", () => tf.relu(tf.tensor1d([-2, -0.5, 0, 0.5, 3])), [0, 0, 0, 0.5, 3]],
  [
    "exp",
    () => tf.exp(tf.tensor1d([-4, -1, 0, 1, 5])),
    [0.018315638888734, 0.367879441171442, 1, 2.718281828459045, 148.413159102576],
  ],
  ["sum", () => tf.sum(tf.tensor2d([[1, 2, 3], [4, 5, 6.5]]), 1), [6, 15.5]],
  ["sum of 1584", () => tf.sum(tf.abs(right())), [RIGHT.reduce((sum, x) => sum + Math.abs(x), 0)]],
  [
    // d/dw sum(relu(x w)^2) = 2 x^T relu(x w), with x w = (3, -1, 1)
    "gradient",
    () => {
      const x = tf.tensor2d([[1, 2], [1, -2], [3, -2]]);
      return tf.grad((w) => tf.sum(tf.square(tf.relu(tf.matMul(x, w)))))(tf.tensor2d([[1], [1]]));
    },
    [12, 8],
  ],
];

function left(): tf.Tensor2D {
  return tf.tensor2d(LEFT, [M, K]);
}

function right(): tf.Tensor2D {
  return tf.tensor2d(RIGHT, [K, N]);
}

function compare(name: string, values: ArrayLike<number>, expected: readonly number[]): void {
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(values[i] - expected[i]) <= TOLERANCE * (1 + Math.abs(expected[i])))) {
      throw new Error(
        `the self-test fails: ${name} gives ${values[i]} at ${i}, expected ${expected[i]}`,
      );
    }
  }
}
