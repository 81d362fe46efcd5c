/**
 * Every optimizer on every backend. What is one elementwise expression has the same bits on cpu and
 * on wasm; backends add the sums of the others in different orders. (test/parity holds cpu and wasm
 * to torch in float64.)
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../support/backend.ts";
import { assertClose } from "../support/close.ts";
import { runScript } from "../support/script.ts";
import { repeatsNode, skipWithoutWebgpu, webgpuEnvironment } from "../support/webgpu.ts";
import { everyOptimizer, knownTrajectories, type Values } from "./optimizer_runs.ts";
import type { WebgpuOptimizers } from "./optimizers_webgpu.ts";

/** Those with sums over tensors: norms, means, products of matrices. */
const withSums = ["ASAM", "Adafactor", "LBFGS", "Lamb", "Muon", "Prodigy", "SAM"];

test("every optimizer gives the same numbers on wasm as on cpu, without sums the same bits", async () => {
  await useBackend("cpu");
  const onCpu = await everyOptimizer();
  await useBackend("wasm");
  const onWasm = await everyOptimizer();
  for (const [type, run] of Object.entries(onCpu)) {
    if (withSums.includes(type)) assertNear(onWasm[type], run, 1e-5, type);
    else assert.deepEqual(onWasm[type], run, type);
  }
});

test(
  "every optimizer gives the numbers of cpu, of torch and of its formula on webgpu",
  { skip: repeatsNode },
  () => {
    const { status, stdout, stderr } = runScript(
      `import "./test/conformance/optimizers_webgpu.ts";`,
      webgpuEnvironment(),
    );
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    const found = JSON.parse(stdout.trim().split("\n").at(-1) as string) as WebgpuOptimizers;
    if (found.skipped !== undefined) return skipWithoutWebgpu(found.skipped);
    for (const [type, error] of Object.entries(found.every)) {
      assert.ok(error <= 1e-4, `${type}: ${error} from cpu`);
    }
    const titles = new Set(knownTrajectories().map(({ title }) => title));
    assert.deepEqual(new Set(Object.keys(found.known)), titles);
    assert.equal(Object.keys(found.lbfgs).length, 6);
    for (const [title, error] of Object.entries(found.lbfgs)) {
      assert.ok(error <= (title.startsWith("host") ? 1e-6 : 2.5e-5), `LBFGS ${title}: ${error}`);
    }
    // JSON has no NaN.
    assert.deepEqual(found.clipping, { clipped: [null, 1, -1, 0.5, null], norms: [4, 5, 7, 0] });
    for (const [title, error] of Object.entries(found.known)) {
      assert.ok(error <= 1e-5, `${title}: ${error} from torch or its formula`);
    }
  },
);

function assertNear(actual: Values, expected: Values, tolerance: number, what: string) {
  assert.equal(actual.length, expected.length, what);
  expected.forEach((values, i) => assertClose(actual[i], values, tolerance, `${what}, ${i}`));
}
