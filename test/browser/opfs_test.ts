import { strict as assert } from "node:assert";
import { test } from "node:test";
import { findChromium, runInChromium } from "../support/chromium.ts";

interface Train {
  readonly finished: string;
  readonly iterations: number;
  readonly weightsSha256: string;
  readonly lines: string[];
}

interface Result {
  readonly error?: string;
  readonly whole: Train;
  readonly first: Train;
  readonly refused: string;
  readonly second: Train;
  readonly sameMetrics: boolean;
  readonly files: string[];
}

test(
  "OpfsStore fulfils the store contract, and a run resumes from it, in a page and in a worker of Chromium",
  async () => {
    const chromium = findChromium();
    if (chromium === undefined) return;
    const results = await runInChromium(
      chromium,
      `import "./test/browser/opfs_page.ts";`,
    ) as Record<"page" | "worker", Result>;
    for (const [place, result] of Object.entries(results)) {
      const { whole, first, second, refused, sameMetrics, files, error } = result;
      assert.equal(error, undefined, place);
      assert.deepEqual([first.finished, first.iterations], ["signal", 7], place);
      assert.match(refused, /in-(page|worker)\/run: in use by another page or worker/);
      assert.ok(
        second.lines.some((line) => /step-00000007.* using .*step-00000004/.test(line)),
        place,
      );
      assert.equal(second.iterations, 20);
      assert.equal(second.weightsSha256, whole.weightsSha256, place);
      assert.equal(sameMetrics, true, place);
      assert.ok(files.includes("best.safetensors") && files.includes("step-00000020.safetensors"));
    }
  },
);
