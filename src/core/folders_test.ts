import { strict as assert } from "node:assert";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeFolders } from "./folders.ts";

test("makeFolders() makes what is missing and answers the first folder made", () => {
  const folder = mkdtempSync(join(tmpdir(), "downhill-"));
  try {
    assert.equal(makeFolders(join(folder, "a", "b", "c")), join(folder, "a"));
    assert.ok(existsSync(join(folder, "a", "b", "c")));
    assert.equal(makeFolders(join(folder, "a", "b")), undefined);
    assert.equal(makeFolders(join(folder, "a", "d")), join(folder, "a", "d"));
    writeFileSync(join(folder, "file"), "");
    assert.throws(() => makeFolders(join(folder, "file", "a", "b")), {
      code: /^(ENOTDIR|EEXIST)$/,
    });
    assert.throws(() => makeFolders(join(folder, "file")), { code: "EEXIST" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("makeFolders() ends where no folder can be made", (t) => {
  if (!hasProc()) return t.skip("no /proc, or no permission to read it");
  assert.throws(() => makeFolders("/proc/none/a/b"), { code: /^(ENOENT|EACCES|EPERM|EROFS)$/ });
});

function hasProc(): boolean {
  try {
    return existsSync("/proc/self");
  } catch {
    return false;
  }
}
