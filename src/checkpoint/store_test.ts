import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
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

/** Makes a symbolic link; Deno's own way wants permission to write everywhere. */
function link(target: string, path: string): boolean {
  try {
    fs.symlinkSync(target, path);
    return true;
  } catch {
    return spawnSync("ln", ["-s", target, path]).status === 0;
  }
}

test("FileStore follows no link inside its directory: nothing is made, changed or read outside", async (context) => {
  await inFolder(async (folder) => {
    const outside = join(folder, "outside"), inside = join(folder, "run");
    for (const path of [outside, inside]) fs.mkdirSync(path);
    fs.writeFileSync(join(outside, "file"), "theirs");
    const made = [["", "folder"], ["file", "link"], ["new", "dangling"]]
      .every(([to, name]) => link(join(outside, to), join(inside, name)));
    if (!made) return context.skip("links cannot be made here");
    const store = new FileStore(inside);
    const rows: [title: string, act: () => Promise<unknown>][] = [
      ["write", () => store.write("folder/new", text("x"))],
      ["write", () => store.write("folder/a/b/new", text("x"))],
      ["append to", () => store.append("folder/file", text("x"))],
      ["append to", () => store.append("link", text("x"))],
      ["append to", () => store.append("dangling", text("x"))],
      ["truncate", () => store.truncate("folder/file", 0)],
      ["truncate", () => store.truncate("link", 0)],
      ["remove", () => store.remove("folder/file")],
      ["read", () => store.read("folder/file")],
      ["read", () => store.read("link")],
      ["list", () => store.list("folder")],
    ];
    for (const [verb, act] of rows) {
      await assert.rejects(act(), (error: Error) => {
        assert.ok(error instanceof CheckpointError);
        assert.match(
          error.message,
          /^cannot [a-z ]+ [^\n]* is a symbolic link; none is followed inside a run directory$/,
        );
        assert.ok(error.message.startsWith(`cannot ${verb} ${inside}`), error.message);
        return true;
      });
    }
    // What is written whole takes the place of a link, and what is removed is the link.
    await store.write("link", text("ours"));
    assert.equal(await read(store, "link"), "ours");
    await store.remove("dangling");
    assert.deepEqual(fs.readdirSync(inside).sort(), ["folder", "link"]);
    assert.deepEqual(fs.readdirSync(outside), ["file"]);
    assert.equal(fs.readFileSync(join(outside, "file"), "utf8"), "theirs");

    // The directory itself is where its user has put it.
    assert.ok(link(inside, join(folder, "runs")));
    await new FileStore(join(folder, "runs")).write("a/b", text("x"));
    assert.equal(fs.readFileSync(join(inside, "a", "b"), "utf8"), "x");
  });
});

test("FileStore reads and changes regular files only: a pipe does not make it wait", async (context) => {
  await inFolder(async (folder) => {
    const store = new FileStore(folder);
    await store.write("folder/file", text("x"));
    const names = ["folder"];
    if (spawnSync("mkfifo", [join(folder, "pipe")]).status === 0) names.push("pipe");
    else context.diagnostic("no pipe: mkfifo is not there");
    for (const name of names) {
      for (
        const act of [
          () => store.read(name),
          () => store.append(name, text("x")),
          () => store.truncate(name, 0),
        ]
      ) {
        await assert.rejects(act(), /^CheckpointError: cannot [^\n]*: it is not a regular file$/);
      }
    }
    assert.deepEqual(await store.list(""), []);
  });
});
