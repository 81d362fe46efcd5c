/** What failing calls and a full disk leave of a save. */
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CheckpointDirectory } from "../../src/checkpoint/checkpoint.ts";
import { FileStore, TEMPORARY_NAME } from "../../src/checkpoint/file_store.ts";
import { CheckpointError } from "../../src/core/errors.ts";
import { withFolder } from "../support/runs.ts";
import { failEveryCall, kinds } from "./faults.ts";

for (const [code, calls] of kinds) {
  test(`a save whose n-th call fails (${code}, ${calls} calls) is one error, and the old checkpoint stays`, async () => {
    const faults = await failEveryCall(code, calls);
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
