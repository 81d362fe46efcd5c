import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../support/close.ts";
import { runScript } from "../support/script.ts";
import { skipWithoutWebgpu, webgpuEnvironment } from "../support/webgpu.ts";
import { countReads, readCases, type ReadRun, readTypes } from "./reads.ts";
import type { WebgpuReads } from "./reads_webgpu.ts";

function assertCounts(run: ReadRun, what: string): void {
  assertReads(run, 1, what);
  assert.ok(run.steps.every((step) => step === 6), `${what}: steps ${run.steps}`);
}

/** Iterations 1 and 5 are not finite and end with their first gradient. */
function assertReads(run: ReadRun, reads: 1 | 2, what: string): void {
  const expected = Array.from({ length: 8 }, (_, i) => i % 4 === 0 ? 1 : reads);
  assert.deepEqual(run.reads, expected, `${what}: reads`);
  assert.equal(run.skipped, 2, `${what}: skipped`);
  assert.equal(run.steps[0], 6, `${what}: updates`);
  assert.equal(run.leaked, 0, `${what}: leaked`);
  assert.ok(run.values.every(Number.isFinite), `${what}: values`);
}

for (const backend of ["cpu", "wasm"] as const) {
  for (const { config, reads } of readTypes) {
    test(`an iteration with ${config.type} reads ${reads === 1 ? "once" : "twice"} on ${backend}`, async () => {
      assertReads(await countReads(backend, {}, config), reads, config.type);
    });
  }

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
  for (const { config, reads } of readTypes) {
    assertReads(found.types[config.type], reads, config.type);
  }
});
