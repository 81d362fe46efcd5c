import { strict as assert } from "node:assert";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { faulty } from "../../test/support/faulty_files.ts";
import { FileStore, TEMPORARY_NAME } from "./file_store.ts";
import { MemoryStore } from "./memory_store.ts";
import type { Store } from "./store.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const read = async (store: Store, name: string): Promise<string | undefined> => {
  const bytes = await store.read(name);
  return bytes && new TextDecoder().decode(bytes);
};

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "downhill-store-"));
  try {
    await use(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function conformance(store: Store): Promise<void> {
  assert.equal(await store.read("a/none"), undefined);
  assert.deepEqual(await store.list("a"), []);
  assert.deepEqual(await store.list(""), []);

  await store.write("a/b/file.bin", text("one"));
  await store.write("a/b/file.bin", text("second"));
  assert.equal(await read(store, "a/b/file.bin"), "second");
  await store.write("a/empty", text(""));
  assert.equal(await read(store, "a/empty"), "");
  await store.write("top", text("t"));

  await store.append("log", text("line 1\n"));
  await store.append("log", text("line 2\n"));
  assert.equal(await read(store, "log"), "line 1\nline 2\n");
  await store.truncate("log", 7);
  assert.equal(await read(store, "log"), "line 1\n");
  await store.append("log", text("x"));
  assert.equal(await read(store, "log"), "line 1\nx");
  await assert.rejects(store.truncate("log", 9), /has 8 bytes, cannot be cut to 9/);
  await store.truncate("none", 0);
  await assert.rejects(store.truncate("none", 1), CheckpointError);

  for (const name of ["a/z", "a/B", "a/10", "a/9"]) await store.write(name, text(name));
  assert.deepEqual(await store.list("a"), ["10", "9", "B", "empty", "z"]);
  assert.deepEqual(await store.list("a/b"), ["file.bin"]);
  assert.deepEqual(await store.list(""), ["log", "top"]);
  await store.remove("a/z");
  await store.remove("a/z");
  assert.equal(await store.read("a/z"), undefined);

  const bytes = text("mine");
  await store.write("copy", bytes);
  bytes[0] = 0;
  (await store.read("copy"))![1] = 0;
  assert.equal(await read(store, "copy"), "mine");

  const bad = [
    "",
    "/a",
    "a/",
    "a//b",
    "..",
    "../a",
    "a/../b",
    "./a",
    "a\\b",
    "C:",
    "a b",
    "a\0",
    "\u00e9",
    "x".repeat(101),
    `${"x".repeat(90)}/${"x".repeat(90)}/${"x".repeat(90)}`,
  ];
  for (const name of bad) {
    await assert.rejects(store.write(name, bytes), ConfigError, name);
    await assert.rejects(store.read(name), ConfigError, name);
    await assert.rejects(store.remove(name), ConfigError, name);
  }
}

test("MemoryStore fulfils the store contract", async () => {
  await conformance(new MemoryStore());
});

test("FileStore fulfils the store contract, in a folder made on demand", async () => {
  await inFolder(async (folder) => {
    await conformance(new FileStore(join(folder, "runs", "one")));
    assert.deepEqual(fs.readdirSync(folder), ["runs"]);
    assert.deepEqual(fs.readdirSync(join(folder, "runs", "one", "a", "b")), ["file.bin"]);
  });
});

test("FileStore names path and cause when the file system fails", async () => {
  await inFolder(async (folder) => {
    fs.writeFileSync(join(folder, "file"), "");
    const store = new FileStore(join(folder, "file"));
    await assert.rejects(store.write("a", text("b")), (error: Error) => {
      assert.ok(error instanceof CheckpointError);
      assert.match(error.message, /^cannot write .*file.a: (ENOTDIR|EEXIST)/);
      return true;
    });
  });
});

test("FileStore.write() goes on after short writes", async () => {
  await inFolder(async (folder) => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
    const store = new FileStore(folder, faulty(() => {}, 7));
    await store.write("a", bytes);
    await store.append("b", bytes);
    assert.deepEqual(await store.read("a"), bytes);
    assert.deepEqual(await store.read("b"), bytes);
  });
});

test("FileStore.write() syncs the file before the rename and the folder after it", async () => {
  await inFolder(async (folder) => {
    const operations: string[] = [];
    await new FileStore(folder, faulty((name) => operations.push(name))).write("a", text("b"));
    assert.deepEqual(
      operations.join(" "),
      "mkdir open write sync close rename open sync close",
    );
  });
});

test("FileStore.write() leaves the old file or the new one, whichever operation fails", async () => {
  await inFolder(async (folder) => {
    const plain = new FileStore(folder);
    for (let n = 0; n < 12; n++) {
      await plain.write("a", text("old"));
      let count = 0;
      const store = new FileStore(
        folder,
        faulty((operation) => {
          if (count++ === n && operation !== "rm") throw new Error("ENOSPC: no space left");
        }),
      );
      let failed = false;
      await store.write("a", text("new")).catch((error: Error) => {
        failed = true;
        assert.match(error.message, /^cannot write .*: ENOSPC: no space left$/);
      });
      assert.equal(failed, n < 9, `operation ${n}`);
      assert.equal(await read(plain, "a"), n < 6 ? "old" : "new", `operation ${n}`);
      assert.deepEqual((await plain.list("")).filter((name) => TEMPORARY_NAME.test(name)), []);
    }
  });
});
