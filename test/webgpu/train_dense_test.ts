import { strict as assert } from "node:assert";
import { test } from "node:test";
import { runScript } from "../support/script.ts";
import { skipWithoutWebgpu, webgpuEnvironment } from "../support/webgpu.ts";
import type { Trained } from "./train_dense.ts";

/** 20 steps of float32 with additions in another order. (WGSL allows sin an error of 2^-11: unused.) */
const TOLERANCE = 1e-5;

test("webgpu trains on the device to the numbers of the cpu backend", () => {
  const { status, stdout, stderr } = runScript(
    `import "./test/webgpu/train_dense.ts";`,
    webgpuEnvironment(),
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const run = JSON.parse(stdout.trim().split("\n").at(-1) as string) as Trained;
  if (run.skipped !== undefined) return skipWithoutWebgpu(run.skipped);
  // Forward, backward and update of three parameters are more than 20 kernels.
  assert.ok(run.dispatches > 20 * run.steps, `${run.dispatches} dispatches`);
  assert.equal(run.leaked, 0);
  assert.equal(run.webgpu.length, run.cpu.length);
  for (const [i, expected] of run.cpu.entries()) {
    const error = Math.abs(run.webgpu[i] - expected);
    assert.ok(
      error <= TOLERANCE * (1 + Math.abs(expected)),
      `${i}: ${run.webgpu[i]} ${expected}`,
    );
  }
  assert.ok(run.cpu[run.steps - 1] < 0.3 * run.cpu[0], `${run.cpu[0]} ${run.cpu[run.steps - 1]}`);
  if (/software/.test(run.lines.join())) {
    assert.deepEqual(run.lines, [
      `backend: webgpu on the software adapter ${run.adapter}, which passes the self-test`,
    ]);
    assert.equal(run.auto, "wasm");
  } else {
    assert.deepEqual([run.lines, run.auto], [[], "webgpu"]);
  }
});
