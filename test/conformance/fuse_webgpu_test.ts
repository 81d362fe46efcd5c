import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../support/close.ts";
import { runScript } from "../support/script.ts";
import { repeatsNode, skipWithoutWebgpu, webgpuEnvironment } from "../support/webgpu.ts";
import type { Found } from "./fuse_webgpu.ts";

test("updates on webgpu give the numbers, in order, in place", { skip: repeatsNode }, () => {
  const { status, stdout, stderr } = runScript(
    `import "./test/conformance/fuse_webgpu.ts";`,
    webgpuEnvironment(),
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const found = JSON.parse(stdout.trim().split("\n").at(-1) as string) as Found;
  if (found.skipped !== undefined) return skipWithoutWebgpu(found.skipped);
  assert.deepEqual(found.wrong, []);
  assert.ok(found.checked > 0.6 * found.all, `${found.checked} of ${found.all} have a tight bound`);
  const expected: Record<string, number[]> = {
    "before": [1, 2, 3],
    "after a step": [0.5, 1.5, 2],
    "kept": [1, 2, 3],
    "read before the second step": [0.5, 1.5, 2],
    "after the second step": [0, 1, 1],
    "with itself as the gradient": [0, 0.5, 0.5],
    "view": [0, 1, 1],
    "scalars of the device: parameter": [-0.125, 0.375, 0.25],
    "scalars of the device: slot": [0.25, 0.25, 0.5],
    "guard NaN": [-0.125, 0.375, 0.25],
    "guard Infinity": [-0.125, 0.375, 0.25],
    "guard finite": [-0.3125, 0.1875, -0.125],
    "the last of many": Array<number>(10).fill(0.5),
    "ends of a large one": [-0.5, -0.5],
  };
  for (const [name, values] of Object.entries(expected)) {
    assertClose(found.values[name], values, 1e-6, name);
  }
  assertClose(found.values["sum of a large one"], [-2_150_000], 1e-4);
  const { submissions, ...counts } = found.counts;
  assert.deepEqual(counts, { "same buffer": 1, dispatches: 40, leaked: 0 });
  assert.ok(submissions <= 4, `${submissions} submissions`);
});
