import { strict as assert } from "node:assert";
import { test } from "node:test";
import { runtime } from "../../src/core/host.ts";
import { assertClose } from "../support/close.ts";
import { runScript } from "../support/script.ts";
import { repeatsNode, skipWithoutWebgpu, webgpuEnvironment } from "../support/webgpu.ts";
import {
  countReads,
  readCases,
  type ReadRun,
  readsOfType,
  readTypes,
  webgpuCases,
} from "./reads.ts";
import type { WebgpuReads } from "./reads_webgpu.ts";

function assertCounts(run: ReadRun, what: string): void {
  assert.equal(run.reads.length, 8, what);
  assertReads(run, 1, what);
  assert.ok(run.steps.every((step) => step === 6), `${what}: steps ${run.steps}`);
}

/** Iterations 1 and 5 are not finite and end with their first gradient. */
function assertReads(run: ReadRun, reads: 1 | 2, what: string): void {
  const expected = run.reads.map((_, i) => i % 4 === 0 ? 1 : reads);
  assert.deepEqual(run.reads, expected, `${what}: reads`);
  const skipped = expected.length === 8 ? 2 : 1;
  assert.equal(run.skipped, skipped, `${what}: skipped`);
  assert.equal(run.steps[0], expected.length - skipped, `${what}: updates`);
  assert.equal(run.leaked, 0, `${what}: leaked`);
  assert.ok(run.values.every(Number.isFinite), `${what}: values`);
}

for (const backend of ["cpu", "wasm"] as const) {
  for (const { config, reads } of readTypes) {
    test(`an iteration with ${config.type} reads ${reads === 1 ? "once" : "twice"} on ${backend}`, async () => {
      assertReads(await readsOfType(backend, config), reads, config.type);
    });
  }

  for (const [name, train] of Object.entries(readCases)) {
    test(`an iteration reads once on ${backend}: ${name}`, async () => {
      assertCounts(await countReads(backend, train), name);
    });
  }
}

/** The runs of the script on webgpu; undefined, and said, where there is none. */
function onWebgpu(environment: Record<string, string>): Record<string, ReadRun> | undefined {
  const { status, stdout, stderr } = runScript(
    `import "./test/conformance/reads_webgpu.ts";`,
    { ...webgpuEnvironment(), ...environment },
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const found = JSON.parse(stdout.trim().split("\n").at(-1) as string) as WebgpuReads;
  if (found.skipped === undefined) return found.runs;
  skipWithoutWebgpu(found.skipped);
  return undefined;
}

const title = "an iteration reads once on webgpu, where one that is not finite changes nothing";
test(title, { skip: repeatsNode }, async () => {
  const runs = onWebgpu({});
  if (runs === undefined) return;
  for (const [name, train] of webgpuCases) {
    assertCounts(runs[name], name);
    const { values } = await countReads("cpu", train);
    assertClose(runs[name].values, values, 1e-5, name);
  }
});

test(
  "an iteration with any optimizer reads once a gradient on webgpu",
  // The library decides what is read, whatever the adapter.
  { skip: runtime !== "deno" && "runs under Deno only" },
  () => {
    const runs = onWebgpu({ READS: "types" });
    if (runs === undefined) return;
    for (const { config, reads } of readTypes) assertReads(runs[config.type], reads, config.type);
  },
);
