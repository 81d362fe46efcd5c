import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runtime } from "../../src/core/host.ts";
import { findChromium, runInChromium } from "../support/chromium.ts";
import { root } from "../support/root.ts";

interface Page {
  readonly cells: string[];
  readonly status: string;
  readonly losses: number[];
  readonly backend: string;
}

test("examples/browser trains in Chromium, on wasm and on cpu", {
  skip: runtime !== "deno" && "runs under Deno only",
  timeout: 60_000,
}, async () => {
  const chromium = findChromium();
  if (chromium === undefined) return;
  const html = readFileSync(join(root, "examples", "browser", "index.html"), "utf8");
  const page = await runInChromium(
    chromium,
    `import { open } from "./test/examples/browser_page.ts"; open(${JSON.stringify(html)});`,
  ) as Page;
  assert.match(page.status, /^Done on wasm: test loss \d\.\d{5}$/);
  assert.equal(page.backend, "cpu");
  assert.equal(page.losses.length, 10);
  assert.ok(page.losses[9] < 0.5 * page.losses[0], `${page.losses}`);
  // The table shows the same training on wasm: iteration and loss in turn.
  const shown = page.cells.filter((_, i) => i % 2 === 1).map((text) => Number(text.slice(5)));
  assert.deepEqual(page.cells.filter((_, i) => i % 2 === 0)[9], "iteration 200");
  for (const [i, loss] of page.losses.entries()) {
    assert.ok(Math.abs(shown[i] - loss) < 1e-3 * loss + 1e-5, `${i}: ${shown[i]} ${loss}`);
  }
});
