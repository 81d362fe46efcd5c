/** Every call of the file system that a save makes fails once, in every way. */
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CheckpointDirectory } from "../../src/checkpoint/checkpoint.ts";
import { FileStore, TEMPORARY_NAME } from "../../src/checkpoint/file_store.ts";
import { CheckpointError } from "../../src/core/errors.ts";
import { JsonLines } from "../../src/report/json_lines.ts";
import { withFolder } from "../support/runs.ts";
import { FOLDER, open, period } from "./period.ts";
import { type Before, fault, SimulatedDisk } from "./simulated_disk.ts";

/** The `n`-th call fails, and with it those that follow for `calls` calls. */
function failing(code: string, n: number, calls: number, count: () => number): Before {
  return (operation, path) => {
    const i = count();
    if (i < n || i >= n + calls) return;
    // A full disk first takes a part of what is written, and says so by a number only.
    if (code === "short") {
      if (operation === "write" && i === n) return 3;
      code = "ENOSPC";
    }
    throw fault(code, path);
  };
}

const kinds: [code: string, calls: number][] = [
  ["ENOSPC", 1],
  ["EIO", 1],
  ["EACCES", 1],
  ["short", 2],
  ["ENOSPC", Infinity],
];

for (const [code, calls] of kinds) {
  test(`a save whose n-th call fails (${code}, ${calls} calls) is one error, and the old checkpoint stays`, async () => {
    let faults = 0;
    for (let n = 0;; n++) {
      const disk = new SimulatedDisk();
      const metrics = new JsonLines(new FileStore(FOLDER, disk.operations), "metrics.jsonl");
      for (let i = 1; i <= 3; i++) await period(disk, metrics, i);
      let count = 0;
      disk.before = failing(code, n, calls, () => count++);
      let failed = false;
      await period(disk, metrics, 4).catch((error: unknown) => {
        failed = true;
        assert.ok(error instanceof CheckpointError, `call ${n}: ${error}`);
        assert.match(error.message, /^cannot \w+( to)? \/runs\/one[^\n]*(ENOSPC|EIO|EACCES)/);
      });
      const reached = count > n;
      disk.before = () => {};
      assert.equal(disk.handles, 0, `call ${n}`);
      const { store, checkpoints } = open(disk);
      const found = (await checkpoints.latest())!;
      assert.ok(found.iteration === 4 || (failed && found.iteration === 3), `call ${n}`);
      const lines = new TextDecoder().decode(await store.read("metrics.jsonl"));
      const length = found.state.meta.length as number;
      assert.equal(lines.slice(0, length).trimEnd().split("\n").length, found.iteration);

      // The cause is gone: the same run goes on.
      await period(disk, metrics, 5);
      assert.equal((await checkpoints.latest())?.iteration, 5, `call ${n}`);
      const after = new TextDecoder().decode(await store.read("metrics.jsonl")).trimEnd().split(
        "\n",
      );
      assert.deepEqual(after.map((line) => JSON.parse(line).iteration), [1, 2, 3, 4, 5]);
      const names = await store.list("checkpoints");
      assert.deepEqual(names.filter((name) => TEMPORARY_NAME.test(name)), []);
      if (!reached) {
        assert.equal(failed, false);
        break;
      }
      faults++;
    }
    assert.ok(faults > 35, `${faults} calls`);
  });
}

test("a disk that is really full (1 MiB) keeps the old checkpoint, whole", async () => {
  await withFolder(async (folder) => {
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]);
    if (mounted.status !== 0) {
      console.log("skipped: mount is not allowed, and a full disk needs one");
      return;
    }
    try {
      const store = new FileStore(join(folder, "run"));
      const lines: string[] = [];
      const checkpoints = new CheckpointDirectory(store, "checkpoints", (l) => lines.push(l));
      const state = (iteration: number) => ({
        tensors: {
          "model.w": {
            dtype: "F32" as const,
            shape: [75_000],
            data: new Float32Array(75_000).fill(iteration),
          },
        },
        meta: {},
      });
      for (let i = 1; i <= 3; i++) await checkpoints.save(i, state(i));
      for (let attempt = 0; attempt < 3; attempt++) {
        await assert.rejects(checkpoints.save(4, state(4)), (error: Error) => {
          assert.ok(error instanceof CheckpointError);
          assert.match(error.message, /^cannot write [^\n]*step-00000004.safetensors: [^\n]*$/);
          return true;
        });
        assert.equal((await checkpoints.latest())?.iteration, 3);
      }
      assert.deepEqual(lines, []);
      assert.deepEqual(
        readdirSync(join(folder, "run", "checkpoints")).filter((name) => TEMPORARY_NAME.test(name)),
        [],
      );
      await store.remove("checkpoints/step-00000001.safetensors");
      await checkpoints.save(4, state(4));
      assert.deepEqual(
        (await checkpoints.latest())?.state.tensors["model.w"],
        state(4).tensors["model.w"],
      );
    } finally {
      spawnSync("umount", [folder]);
    }
    assert.ok(!existsSync(join(folder, "run")));
  });
});
