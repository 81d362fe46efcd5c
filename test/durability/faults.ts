/** Every call of the file system that a save makes fails once, in every way. */
import { strict as assert } from "node:assert";
import { FileStore, TEMPORARY_NAME } from "../../src/checkpoint/file_store.ts";
import { CheckpointError } from "../../src/core/errors.ts";
import { JsonLines } from "../../src/report/json_lines.ts";
import { FOLDER, open, period } from "./period.ts";
import { type Before, fault, SimulatedDisk } from "./simulated_disk.ts";

/** Kinds of faults: the error, and how many calls in a row have it. */
export const kinds: [code: string, calls: number][] = [
  ["ENOSPC", 1],
  ["EIO", 1],
  ["EACCES", 1],
  ["short", 2],
  ["ENOSPC", Infinity],
];

/** Lets each call of a save fail, one save each; answers how many calls there are. */
export async function failEveryCall(code: string, calls: number): Promise<number> {
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
  return faults;
}

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
