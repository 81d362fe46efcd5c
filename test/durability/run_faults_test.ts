/** A run whose disk is full or refuses: it stops with one line, or goes on, and the old checkpoint stays. */
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig } from "../../mod.ts";
import { CheckpointDirectory } from "../../src/checkpoint/checkpoint.ts";
import { FileStore } from "../../src/checkpoint/file_store.ts";
import { buildParts } from "../../src/config/build_parts.ts";
import { resolveConfig } from "../../src/config/schema.ts";
import { readSummary } from "../../src/runner/run_files.ts";
import type { Summary } from "../../src/runner/state.ts";
import { faulty } from "../support/faulty_files.ts";
import { Lines, type Overrides, smallConfig, trainOnce, withFolder } from "../support/runs.ts";

function config(
  directory: string,
  onError: "stop" | "continue",
  overrides: Overrides = {},
): RunConfig {
  return smallConfig({
    name: "run",
    train: { iterations: 20, batchSize: 8 },
    validation: { interval: 4 },
    checkpoint: { directory, interval: 2, onError },
    ...overrides,
  });
}

/** Trains on a disk on which operations fail; `fails` is asked for each. */
async function trainOn(
  settings: RunConfig,
  fails: (operation: string, path: string, iteration: number) => string | undefined,
): Promise<{ summary?: Summary; error?: Error; lines: string[] }> {
  const output = new Lines();
  const parts = await buildParts(resolveConfig(settings), settings, output, {});
  let run: IterationRunner | undefined = undefined;
  const operations = faulty((operation, path) => {
    const code = fails(operation, path, (run as IterationRunner | undefined)?.state.iteration ?? 0);
    if (code !== undefined) throw Object.assign(new Error(`${code}: refused`), { code });
  });
  const store = new FileStore(parts.store.location, operations);
  const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => output.line(line));
  run = new IterationRunner({ ...parts, store, checkpoints });
  try {
    return { summary: await run.train(), lines: output.lines };
  } catch (error) {
    return { error: error as Error, lines: output.lines };
  } finally {
    run.dispose();
  }
}

const told = (lines: readonly string[]) => lines.filter((line) => line.includes("onError"));

for (const code of ["ENOSPC", "EACCES", "EROFS"]) {
  test(`onError stop: ${code} from iteration 8 on ends the run in one line; it goes on later`, async () => {
    await withFolder(async (directory) => {
      const settings = config(directory, "stop");
      const { error, lines } = await trainOn(
        settings,
        (operation, _, i) => i >= 8 && ["write", "rename"].includes(operation) ? code : undefined,
      );
      assert.equal(error?.name, "CheckpointError");
      assert.match(error?.message ?? "", new RegExp(`^cannot [^\\n]*: ${code}: refused$`));
      assert.ok(lines.every((line) => !line.includes("\n")));
      const store = new FileStore(join(directory, "run"));
      const kept = await new CheckpointDirectory(store).latest();
      assert.ok(kept !== undefined && kept.iteration < 8);
      const { summary } = await trainOnce(settings);
      const whole = await trainOnce(config(directory, "stop", { name: "whole" }));
      assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
      assert.deepEqual(summary.best, whole.summary.best);
      assert.deepEqual(summary.test, whole.summary.test);
    });
  });

  test(`onError continue: ${code} from iteration 8 on is told, and training ends with the same weights`, async () => {
    await withFolder(async (directory) => {
      const { summary, error, lines } = await trainOn(
        config(directory, "continue"),
        (operation, _, i) => i >= 8 && ["write", "rename"].includes(operation) ? code : undefined,
      );
      assert.equal(error, undefined);
      const whole = await trainOnce(config(directory, "stop", { name: "whole" }));
      assert.equal(summary?.finished, "iterations");
      assert.equal(summary?.weightsSha256, whole.summary.weightsSha256);
      // The best weights could not be written, and were tested all the same.
      assert.deepEqual(summary?.best, whole.summary.best);
      assert.ok(summary!.best!.iteration > 8);
      assert.deepEqual(summary?.test, whole.summary.test);
      assert.ok(told(lines).length >= 6, lines.join("\n"));
      const kept = await new CheckpointDirectory(new FileStore(join(directory, "run"))).latest();
      assert.ok(kept !== undefined && kept.iteration < 8);
    });
  });
}

test("onError continue: a fault that passes leaves the files of a run without one", async () => {
  await withFolder(async (directory) => {
    const { summary, lines } = await trainOn(
      config(directory, "continue"),
      (operation, _, i) => i >= 6 && i < 13 && operation === "write" ? "ENOSPC" : undefined,
    );
    assert.ok(told(lines).length >= 2);
    const whole = await trainOnce(config(directory, "continue", { name: "whole" }));
    const files = async (name: string) => {
      const store = new FileStore(join(directory, name));
      const names = ["metrics.jsonl", "checkpoints/best.safetensors", "checkpoints/latest"];
      return await Promise.all(names.map(async (name) => await store.read(name)));
    };
    assert.deepEqual(await files("run"), await files("whole"));
    assert.equal(summary?.weightsSha256, whole.summary.weightsSha256);
    const written = await readSummary(new FileStore(join(directory, "run")));
    assert.equal(written?.iterations, 20);
  });
});

test("a run on a disk of 1 MiB: stop and continue, for real", async () => {
  await withFolder(async (folder) => {
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]);
    if (mounted.status !== 0) {
      console.log("skipped: mount is not allowed, and a full disk needs one");
      return;
    }
    try {
      // About 70 kB of state with AdamW, all of it kept.
      const big = {
        model: {
          type: "Mlp",
          params: { inputLength: 12, outputLength: 4, channels: 2, hidden: [180] },
        },
      };
      for (const onError of ["stop", "continue"] as const) {
        const settings = config(folder, onError, {
          ...big,
          name: onError,
          train: { iterations: 30, batchSize: 8 },
          checkpoint: { directory: folder, interval: 1, keep: null, onError },
        });
        const output = new Lines();
        const run = await IterationRunner.create(settings, { output });
        const result = await run.train().catch((error: Error) => error);
        run.dispose();
        if (onError === "stop") {
          assert.match(String(result), /^CheckpointError: cannot [^\n]*(ENOSPC|space)[^\n]*$/i);
        } else {
          assert.equal((result as Summary).iterations, 30);
          assert.ok(told(output.lines).length > 0);
        }
        const kept = await new CheckpointDirectory(new FileStore(join(folder, onError))).latest();
        assert.ok(
          kept !== undefined && kept.iteration > 0 && kept.iteration < 30,
          `${kept?.iteration}`,
        );
        spawnSync("rm", ["-r", join(folder, onError)]);
      }
      // A start on the full disk is refused, and leaves nothing of itself.
      await trainOnce(config(folder, "stop", { name: "old" }));
      const before = readdirSync(join(folder, "old"));
      spawnSync("dd", ["if=/dev/zero", `of=${join(folder, "filling")}`, "bs=4k"]);
      for (const name of ["old", "new"]) {
        await assert.rejects(trainOnce(config(folder, "stop", { name, seed: 2 })), {
          name: "CheckpointError",
          message: /^cannot lock [^\n]*(ENOSPC|space)[^\n]*$/i,
        });
      }
      assert.deepEqual(readdirSync(join(folder, "old")), before);
      assert.deepEqual(readdirSync(folder).sort(), ["filling", "old"]);
    } finally {
      spawnSync("umount", [folder]);
    }
  });
});

test("a run whose directory becomes read-only: stop and continue, for real", async (t) => {
  await withFolder(async (folder) => {
    const mount = (options: string) =>
      spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder]).status === 0;
    if (!mount("size=4m")) return t.skip("mount is not allowed");
    try {
      for (const onError of ["stop", "continue"] as const) {
        let closed = false;
        const close: Callback = {
          name: "ProgressBar",
          // While a file is open for writing there, that is refused.
          iterationEnd: async (run) => {
            for (let tries = 0; run.state.iteration === 9 && !closed && tries < 40; tries++) {
              closed = mount("remount,ro");
              await new Promise((resolve) => setTimeout(resolve, 5));
            }
          },
        };
        const settings = config(folder, onError, { name: onError });
        const output = new Lines();
        const run = await IterationRunner.create({ ...settings, callbacks: [close] }, { output });
        const result = await run.train().catch((error: Error) => error);
        run.dispose();
        if (!closed) return t.skip("Deno holds its lock file open");
        if (onError === "stop") {
          assert.match(String(result), /^CheckpointError: cannot [^\n]*(EROFS|read-only)[^\n]*$/i);
        } else {
          assert.equal((result as Summary).iterations, 20);
          assert.ok(told(output.lines).length > 0);
        }
        const checkpoints = new CheckpointDirectory(new FileStore(join(folder, onError)));
        assert.ok([6, 8].includes((await checkpoints.latest())!.iteration));
        // It does not begin either, in one line.
        await assert.rejects(trainOnce(settings), {
          name: "CheckpointError",
          message: /^cannot lock [^\n]*$/,
        });
        assert.ok(mount("remount,rw"));
        // This process lives, and could not remove its lock.
        const place = join(folder, onError);
        for (const name of readdirSync(place)) {
          if (name.startsWith("lock-")) rmSync(join(place, name));
        }
        assert.equal((await trainOnce(settings)).summary.iterations, 20);
      }
    } finally {
      spawnSync("umount", [folder]);
    }
  });
});
