import { strict as assert } from "node:assert";
import { test } from "node:test";
import { findChromium, runInChromium } from "../support/chromium.ts";
import { skipWithoutWebgpu } from "../support/webgpu.ts";

interface Page {
  readonly results: unknown[];
  readonly lines: string[];
  readonly console: string[];
  readonly threads: boolean;
}

test("selectBackend() works in an esbuild bundle in Chromium", async () => {
  const chromium = findChromium();
  if (chromium === undefined) return;
  const page = await runInChromium(
    chromium,
    `import "./test/browser/select_page.ts";`,
  ) as Page;
  const gradient = [-8, -12]; // 2 x^T (-1, -1)
  assert.deepEqual(page.results.slice(0, 3), [
    ["cpu", "cpu", true, gradient, 3],
    ["wasm", "wasm", true, gradient, 3],
    ["auto", "wasm", true, gradient, 3],
  ]);
  assert.equal(page.threads, false);
  assert.deepEqual(page.console, []);
  assert.equal(page.lines.length, 2);
  assert.match(page.lines[0], /^backend: wasm with SIMD \(webgpu: .*\)$/);
  const [, name] = page.results[3] as string[];
  if (name !== "webgpu") return skipWithoutWebgpu(page.lines[1]);
  assert.deepEqual(page.results[3], ["webgpu", "webgpu", true, gradient, 3]);
  assert.match(page.lines[1], /^backend: webgpu on the software adapter .*swiftshader/i);
});
