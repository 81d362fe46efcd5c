import { strict as assert } from "node:assert";
import { test } from "node:test";
import { runScript } from "../support/script.ts";
import { repeatsNode, skipWithoutWebgpu, webgpuEnvironment } from "../support/webgpu.ts";
import type { RunResult, TrainedRun } from "./train_run.ts";

/** Relative; ten updates of float32 with additions in another order. */
const TOLERANCE = 1e-4;

const title = "IterationRunner trains, validates, resumes and tests on webgpu";
test(title, { skip: repeatsNode }, () => {
  const { status, stdout, stderr } = runScript(
    `import "./test/webgpu/train_run.ts";`,
    webgpuEnvironment(),
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const run = JSON.parse(stdout.trim().split("\n").at(-1) as string) as TrainedRun;
  if (run.skipped !== undefined) return skipWithoutWebgpu(run.skipped);
  const { wasm, webgpu, resumed } = run;

  assert.deepEqual([wasm.summary.backend, webgpu.summary.backend], ["wasm", "webgpu"]);
  assert.deepEqual([webgpu.summary.finished, webgpu.summary.iterations], ["iterations", 10]);
  assert.equal(webgpu.summary.best?.iteration, wasm.summary.best?.iteration);
  near(values(webgpu), values(wasm), "metrics.jsonl");
  near(webgpu.prediction, wasm.prediction, "prediction");

  // Forward, backward, norm and update of an Mlp with four parameters are some 100 kernels.
  assert.equal(webgpu.dispatches.length, 10);
  for (const count of webgpu.dispatches) assert.ok(count > 50 && count < 400, `${count}`);
  assert.deepEqual(webgpu.reads, new Array(10).fill(1));
  assert.deepEqual([webgpu.syncReads, resumed.syncReads], [0, 0]);
  assert.deepEqual([wasm.leaked, webgpu.leaked, resumed.leaked], [0, 0, 0]);

  // Stopped after iteration 7 and taken up from its checkpoint: no iteration twice, the same bits.
  assert.equal(resumed.dispatches.length, 10);
  assert.equal(resumed.summary.weightsSha256, webgpu.summary.weightsSha256);
  assert.equal(resumed.metrics, webgpu.metrics);
  assert.deepEqual(resumed.prediction, webgpu.prediction);
});

/** All numbers of all log records in order, each record's keys named for the comparison. */
function values({ metrics }: RunResult): number[] {
  return metrics.trim().split("\n").flatMap((line) =>
    Object.values(JSON.parse(line)).filter((value) => typeof value === "number")
  );
}

function near(actual: number[], expected: number[], what: string): void {
  assert.ok(expected.length > 0);
  assert.equal(actual.length, expected.length, what);
  for (const [i, value] of expected.entries()) {
    const error = Math.abs(actual[i] - value) / Math.max(1e-3, Math.abs(value));
    assert.ok(error <= TOLERANCE, `${what}[${i}]: ${actual[i]} on webgpu, ${value} on wasm`);
  }
}
