import { strict as assert } from "node:assert";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CheckpointError } from "../core/errors.ts";
import { read, storeContract, text } from "../../test/support/store_contract.ts";
import { faulty } from "../../test/support/faulty_files.ts";
import { FileStore, TEMPORARY_NAME } from "./file_store.ts";
import { MemoryStore } from "./memory_store.ts";

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "downhill-store-"));
  try {
    await use(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

test("MemoryStore fulfils the store contract", async () => {
  await storeContract(new MemoryStore());
});

test("FileStore fulfils the store contract, in a folder made on demand", async () => {
  await inFolder(async (folder) => {
    await storeContract(new FileStore(join(folder, "runs", "one")));
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
    await new FileStore(folder, faulty((name) => void operations.push(name))).write("a", text("b"));
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
