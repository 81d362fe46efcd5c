/** However a run with workers ends, nothing is pending and the process ends. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { here, launch } from "../durability/processes.ts";
import { withFolder } from "../support/runs.ts";

const disposed = "ConfigError: the run has been disposed";
const expected: Record<string, string> = {
  "not trained": "",
  "starting": disposed,
  "computing": disposed,
  "hanging": disposed,
  "evaluating": disposed,
  "between gradient and update": disposed,
  "failed":
    "WorkerError: iteration 3: worker N: struck by the test; workers were replaced 0 times, " +
    "as maxWorkerRestarts says",
  "broken by a hook": "Error: enough",
};

test("train() rejects and the process ends, whatever the workers were at when the run ended", async () => {
  await withFolder(async (folder) => {
    const endings = launch(here, "worker_endings", [folder]);
    const limit = setTimeout(() => endings.kill(), 240_000);
    const { status, output } = await endings.ended;
    clearTimeout(limit);
    assert.equal(status, 0, output);
    const lines = output.trim().split("\n").map((line) => JSON.parse(line));
    const { how: threads } = lines.pop()!;
    const ended = lines.map(({ name, how }) => [name, how.replace(/worker \d:/, "worker N:")]);
    assert.deepEqual(Object.fromEntries(ended), expected);
    // Those of the runtime, and in Deno the one that hangs.
    assert.ok(threads < 30, `${threads} threads`);
  });
});
