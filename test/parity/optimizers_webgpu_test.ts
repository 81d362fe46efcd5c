import { strict as assert } from "node:assert";
import { test } from "node:test";
import { runScript } from "../support/script.ts";
import { skipWithoutWebgpu, webgpuEnvironment } from "../support/webgpu.ts";
import type { Found } from "./optimizers_webgpu.ts";

test("every optimizer follows its golden cases on webgpu", { timeout: 100_000 }, () => {
  const { status, stdout, stderr } = runScript(
    `import "./test/parity/optimizers_webgpu.ts";`,
    webgpuEnvironment(),
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const found = JSON.parse(stdout.trim().split("\n").at(-1) as string) as Found;
  if (found.skipped !== undefined) return skipWithoutWebgpu(found.skipped);
  const wrong = Object.entries(found.worst).filter(([, error]) => !(error <= 1e-5));
  assert.deepEqual(wrong, []);
  assert.ok(Object.keys(found.worst).length > 90);
});
