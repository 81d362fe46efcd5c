import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";

test("average pooling along a line equals the cpu backend", async () => {
  await useKernels();
  const cases: readonly (readonly [number[], number | [number, number]])[] = [
    [[2, 1, 30, 1], [1, 25]],
    [[3, 2, 9, 5], [1, 3]],
    [[1, 4, 7, 16], [1, 7]],
    [[2, 5, 6, 3], 3],
    [[0, 1, 6, 3], [1, 2]],
  ];
  for (const [shape, window] of cases) {
    const { cpu, wasm } = await onBoth(() => {
      const x = tf.tensor(noise(tf.util.sizeFromShape(shape)), shape) as tf.Tensor4D;
      return tf.avgPool(x, window, 1, "valid");
    });
    assert.equal(wasm.length, cpu.length);
    for (let i = 0; i < cpu.length; i++) {
      assert.ok(
        Math.abs(wasm[i] - cpu[i]) <= 1e-6,
        `[${shape}] by ${window}: ${wasm[i]}, ${cpu[i]}`,
      );
    }
  }
});
