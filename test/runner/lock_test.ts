/** Two runs in one directory: the second is refused, in this process and in another. */
import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig } from "../../mod.ts";
import { Lines, trainOnce, withFolder } from "../support/runs.ts";
import { linearConfig } from "./support.ts";

const config = (directory: string, callbacks: Callback[] = []): RunConfig => ({
  ...linearConfig({ name: "run", checkpoint: { directory, interval: 4 } }),
  callbacks,
});

const locks = (directory: string): string[] =>
  readdirSync(join(directory, "run")).filter((name) => name.startsWith("lock"));

test("train() keeps a second run out of its directory, and lets it in afterwards", async () => {
  await withFolder(async (directory) => {
    let refused: unknown;
    const second: Callback = {
      name: "ProgressBar",
      iterationEnd: async (run) => {
        if (run.state.iteration !== 5) return;
        assert.equal(locks(directory).length, 1);
        refused = await trainOnce(config(directory)).catch((error) => error);
      },
    };
    const { summary } = await trainOnce(config(directory, [second]));
    assert.equal(summary.iterations, 10);
    assert.match(
      String(refused),
      /^CheckpointError: [^\n]*run: in use by process \d+ [^\n]*; two runs cannot write to one directory$/,
    );
    assert.deepEqual(locks(directory), []);
    const { lines } = await trainOnce(config(directory));
    assert.ok(lines.some((line) => /has finished/.test(line)));
  });
});

test("train() gives the directory back when it fails, and dispose() when it is cut short", async () => {
  await withFolder(async (directory) => {
    const fail: Callback = {
      name: "ProgressBar",
      updateEnd: () => {
        throw new Error("broken");
      },
    };
    await assert.rejects(trainOnce(config(directory, [fail])), /broken/);
    assert.deepEqual(locks(directory), []);
    const cut: Callback = {
      name: "ProgressBar",
      iterationStart: (run) => (run as IterationRunner).dispose(),
    };
    const run = await IterationRunner.create(config(directory, [cut]), { output: new Lines() });
    await assert.rejects(run.train());
    assert.deepEqual(locks(directory), []);
  });
});

test("train() takes over from a run that is gone, and says so", async () => {
  await withFolder(async (directory) => {
    await trainOnce(config(directory));
    const before = readFileSync(join(directory, "run", "metrics.jsonl"), "utf8");
    const lock = join(directory, "run", "lock-00000000");
    const owner = { pid: 2 ** 30, host: hostname(), boot: null, start: "1" };
    writeFileSync(lock, JSON.stringify({ ...owner, runtime: "node", since: "yesterday" }));
    const { lines } = await trainOnce(config(directory));
    assert.match(
      lines.join("\n"),
      /run: was in use by process 1073741824 on \S+ since yesterday, which is gone: taking over$/m,
    );
    assert.ok(!existsSync(lock));
    assert.equal(readFileSync(join(directory, "run", "metrics.jsonl"), "utf8"), before);
  });
});
