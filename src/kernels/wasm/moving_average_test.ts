import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise } from "../../../test/support/kernels.ts";
import { instantiateKernels } from "./module.ts";

/** Batch, time, channels and half a window; windows longer than time are among them. */
const SHAPES = [[2, 23, 21, 3], [1, 9, 5, 12], [1, 40, 33, 1], [2, 1, 18, 2], [1, 50, 1, 7]];

/** Steps and channels of a piece. */
const PIECES = [[1, 1], [4, 16], [7, 3], [50, 5], [2, 40]];

test("pieces of time and channels change no bit of a moving average or its gradient", () => {
  const memory = new WebAssembly.Memory({ initial: 4 });
  const kernels = instantiateKernels(memory, false);
  for (const [batch, time, channels, half] of SHAPES) {
    const size = batch * time * channels;
    const [from, to, scratch] = [0, 4 * size, 8 * size];
    new Float32Array(memory.buffer).set(noise(size));
    for (const name of ["f32_moving_average", "f32_moving_average_grad"] as const) {
      const bits = (steps: number, width: number): Int32Array => {
        new Float32Array(memory.buffer, to).fill(NaN);
        const sizes = [batch, time, channels, half, steps, width] as const;
        kernels[name](...sizes, from, to, scratch);
        const room = new Float32Array(memory.buffer, scratch);
        assert.ok(Number.isNaN(room[(3 * steps + 4 * half) * width]), "scratch memory was passed");
        return new Int32Array(memory.buffer.slice(to, to + 4 * size));
      };
      const whole = bits(time, channels);
      for (const [steps, width] of PIECES) {
        assert.deepEqual(bits(steps, width), whole, `${name}, ${[steps, width]} of ${time}`);
      }
    }
  }
});
