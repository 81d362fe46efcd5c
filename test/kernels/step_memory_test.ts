/** Training steps leave nothing behind: neither tensors nor blocks of the wasm heap. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { memoryOfSteps } from "../../bench/step_memory.ts";
import { useKernels } from "../support/kernels.ts";

for (const name of ["cnn", "transformer_block"]) {
  for (const variant of ["plain", "fused"] as const) {
    test(`memory is flat over 100 steps: ${name}, ${variant}`, async () => {
      await useKernels();
      const [early, late] = await memoryOfSteps(name, variant, [20, 100]);
      assert.ok(early.blocks > 0);
      const { tensors, tensorBytes, blocks, heapBytes } = early;
      assert.deepEqual(
        { ...late, steps: 0, scriptBytes: 0 },
        { steps: 0, tensors, tensorBytes, blocks, heapBytes, scriptBytes: 0 },
      );
      // Compiled code grows by some 100 kB; an object that stayed behind at each kernel, by more.
      const grown = late.scriptBytes - early.scriptBytes;
      assert.ok(grown < 2e6, `JavaScript's heap has grown by ${grown} bytes`);
    });
  }
}
