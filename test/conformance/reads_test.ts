import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../support/close.ts";
import { runScript } from "../support/script.ts";
import { skipWithoutWebgpu, webgpuEnvironment } from "../support/webgpu.ts";
import { countReads, readCases, type ReadRun } from "./reads.ts";
import type { WebgpuReads } from "./reads_webgpu.ts";

function assertCounts(run: ReadRun, what: string): void {
  assert.deepEqual(run.reads, Array(8).fill(1), `${what}: reads`);
  assert.equal(run.skipped, 2, `${what}: skipped`);
  assert.ok(run.steps.every((step) => step === 6), `${what}: steps ${run.steps}`);
  assert.equal(run.leaked, 0, `${what}: leaked`);
  assert.ok(run.values.every(Number.isFinite), `${what}: values`);
}

for (const backend of ["cpu", "wasm"] as const) {
  for (const [name, train] of Object.entries(readCases)) {
    test(`an iteration reads once on ${backend}: ${name}`, async () => {
      assertCounts(await countReads(backend, train), name);
    });
  }
}

const title = "an iteration reads once on webgpu, where one that is not finite changes nothing";
test(title, { timeout: 100_000 }, async () => {
  const { status, stdout, stderr } = runScript(
    `import "./test/conformance/reads_webgpu.ts";`,
    webgpuEnvironment(),
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const found = JSON.parse(stdout.trim().split("\n").at(-1) as string) as WebgpuReads;
  if (found.skipped !== undefined) return skipWithoutWebgpu(found.skipped);
  for (const [name, train] of Object.entries(readCases)) {
    assertCounts(found.runs[name], name);
    const { values } = await countReads("cpu", train);
    assertClose(found.runs[name].values, values, 1e-5, name);
  }
});
