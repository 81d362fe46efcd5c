import { strict as assert } from "node:assert";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CheckpointError } from "../core/errors.ts";
import { CheckpointDirectory, type CheckpointState, type KeepPolicy } from "./checkpoint.ts";
import { FileStore } from "./file_store.ts";
import { MemoryStore } from "./memory_store.ts";
import { encodeSafetensors } from "./safetensors.ts";

function state(value: number, meta: Record<string, unknown> = {}): CheckpointState {
  return {
    tensors: { "model.w": { dtype: "F32", shape: [2], data: new Float32Array([value, -value]) } },
    meta,
  };
}

function directory(): { store: MemoryStore; checkpoints: CheckpointDirectory; lines: string[] } {
  const store = new MemoryStore();
  const lines: string[] = [];
  const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => lines.push(line));
  return { store, checkpoints, lines };
}

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "downhill-checkpoint-"));
  try {
    await use(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test("CheckpointDirectory.save() and latest() return the state, to the bit", async () => {
  const { store, checkpoints, lines } = directory();
  assert.equal(await checkpoints.latest(), undefined);
  const meta = {
    best: NaN,
    sums: [Infinity, -Infinity, -0, 0.1 + 0.2],
    order: { seed: 42, epoch: 3 },
    word: "NaN",
  };
  assert.equal(await checkpoints.save(499, state(1)), "checkpoints/step-00000499.safetensors");
  await checkpoints.save(500, state(0.1, meta));
  const found = await checkpoints.latest();
  assert.equal(found?.iteration, 500);
  assert.deepEqual(found?.state.meta, meta);
  assert.deepEqual({ ...found?.state.tensors }, state(0.1).tensors);
  const pointer = new TextDecoder().decode(await store.read("checkpoints/latest"));
  assert.equal(pointer, "step-00000500.safetensors");
  assert.deepEqual(lines, []);
});

test("CheckpointDirectory orders checkpoints by number, not by text", async () => {
  const { store, checkpoints, lines } = directory();
  for (const iteration of [5, 99_999_999, 100_000_000]) await checkpoints.save(iteration, state(1));
  assert.deepEqual(await checkpoints.iterations(), [5, 99_999_999, 100_000_000]);
  assert.equal((await checkpoints.latest())?.iteration, 100_000_000);
  assert.deepEqual(lines, []);
  await store.remove("checkpoints/latest");
  assert.equal((await checkpoints.latest())?.iteration, 100_000_000);
  assert.deepEqual(lines, [
    "checkpoints/latest is missing: using checkpoints/step-100000000.safetensors",
  ]);
});

test("CheckpointDirectory.latest() passes over what cannot be read, with one line", async () => {
  const damages: [string, (store: MemoryStore) => Promise<void>, RegExp][] = [
    ["removed", (s) => s.remove("checkpoints/step-00000003.safetensors"), /there is no such file/],
    ["cut", (s) => s.truncate("checkpoints/step-00000003.safetensors", 100), /step-00000003/],
    [
      "empty",
      (s) => s.write("checkpoints/step-00000003.safetensors", text("")),
      /at least 8 bytes/,
    ],
    [
      "foreign",
      (s) => s.write("checkpoints/step-00000003.safetensors", encodeSafetensors({})),
      /received another file/,
    ],
    [
      "renamed",
      async (s) =>
        s.write(
          "checkpoints/step-00000003.safetensors",
          (await s.read("checkpoints/step-00000001.safetensors"))!,
        ),
      /holds iteration 1/,
    ],
    [
      "newer format",
      (s) =>
        s.write(
          "checkpoints/step-00000003.safetensors",
          encodeSafetensors({}, { downhill: '{"format":3}' }),
        ),
      /written in format 3, this version reads up to 2/,
    ],
    [
      "without digests",
      (s) =>
        s.write(
          "checkpoints/step-00000003.safetensors",
          encodeSafetensors({}, { downhill: '{"format":2}' }),
        ),
      /damaged: the digests are missing/,
    ],
    [
      "not JSON",
      (s) =>
        s.write(
          "checkpoints/step-00000003.safetensors",
          encodeSafetensors({}, { downhill: '{"format' }),
        ),
      /metadata downhill: must be JSON/,
    ],
    [
      "incomplete",
      (s) =>
        s.write(
          "checkpoints/step-00000003.safetensors",
          encodeSafetensors({}, { downhill: "[1]" }),
        ),
      /metadata downhill is incomplete/,
    ],
  ];
  for (const [title, damage, reason] of damages) {
    const { store, checkpoints, lines } = directory();
    for (const iteration of [1, 2, 3]) await checkpoints.save(iteration, state(iteration));
    await damage(store);
    const found = await checkpoints.latest();
    assert.equal(found?.iteration, 2, title);
    assert.deepEqual(found?.state.tensors["model.w"].data, new Float32Array([2, -2]));
    assert.equal(lines.length, 1, title);
    assert.match(lines[0], reason);
    assert.match(lines[0], /: using checkpoints\/step-00000002.safetensors$/);
    assert.ok(!lines[0].includes("\n"));
  }
});

test("CheckpointDirectory.latest() detects every changed byte and every cut, and uses the one before", async () => {
  const { store, checkpoints, lines } = directory();
  await checkpoints.save(1, state(1));
  await checkpoints.save(2, state(2, { text: "meta" }));
  const name = "checkpoints/step-00000002.safetensors";
  const bytes = (await store.read(name))!;
  const damaged: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at++) {
    damaged.push(bytes.subarray(0, at));
    for (const bit of [0, 1, 5, 7]) {
      const changed = bytes.slice();
      changed[at] ^= 1 << bit;
      damaged.push(changed);
    }
  }
  damaged.push(new Uint8Array([...bytes, 0]));
  assert.equal(damaged.length, 5 * bytes.length + 1);
  for (const file of damaged) {
    await store.write(name, file);
    lines.length = 0;
    assert.equal((await checkpoints.latest())?.iteration, 1);
    assert.equal(lines.length, 1);
    assert.match(lines[0], /^checkpoints\/step-00000002[^\n]*: using [^\n]*step-00000001/);
  }
  await store.write(name, bytes);
  assert.equal((await checkpoints.latest())?.iteration, 2);
});

test("CheckpointDirectory.latest() reads format 1, which has no digests, with a line", async () => {
  const { store, checkpoints, lines } = directory();
  const envelope = { format: 1, kind: "checkpoint", iteration: 4, meta: { a: 1 } };
  await store.write(
    "checkpoints/step-00000004.safetensors",
    encodeSafetensors(state(4).tensors, { downhill: JSON.stringify(envelope) }),
  );
  await store.write("checkpoints/latest", text("step-00000004.safetensors"));
  assert.deepEqual((await checkpoints.latest())?.state.meta, { a: 1 });
  assert.deepEqual(lines, [
    "checkpoints/step-00000004.safetensors: of format 1, without digests; damage may go unnoticed",
  ]);
});

test("CheckpointDirectory.latest() takes the newest checkpoint whatever `latest` holds, with one line", async () => {
  const name = "step-00000003.safetensors";
  const junk = Uint8Array.from({ length: 1000 }, (_, i) => i * 37);
  const rows: [title: string, bytes: Uint8Array | undefined, reason: RegExp | undefined][] = [
    ["as written", text(name), undefined],
    ["a line", text(`${name}\n`), undefined],
    ["missing", undefined, /^checkpoints\/latest is missing: using/],
    ["empty", text(""), /must name a checkpoint, received "": using/],
    ["cut", text(name.slice(0, 11)), /must name a checkpoint, received "step-000000": using/],
    [
      "more",
      text(`${name}.old`),
      /must name a checkpoint, received "step-00000003.safetensors.old"/,
    ],
    ["NUL", text(`${name}\0`), /must name a checkpoint, received/],
    ["twice", text(`${name}\n${name}`), /must name a checkpoint, received/],
    ["junk", junk, /must name a checkpoint, received/],
    ["long", text("x".repeat(100_000)), /must name a checkpoint, received "x{76}\.\.\.: using/],
    ["outside", text("../../etc/passwd"), /must name a checkpoint, received "..\/..\/etc\/passwd"/],
    ["no checkpoint", text("best.safetensors"), /received "best.safetensors": using/],
    [
      "one that is gone",
      text("step-00000007.safetensors"),
      /step-00000007.*: there is no such file/,
    ],
    [
      "an older one",
      text("step-00000001.safetensors"),
      /names step-00000001.*not the newest: using/,
    ],
  ];
  for (const [title, bytes, reason] of rows) {
    const { store, checkpoints, lines } = directory();
    for (const iteration of [1, 2, 3]) await checkpoints.save(iteration, state(iteration));
    if (bytes === undefined) await store.remove("checkpoints/latest");
    else await store.write("checkpoints/latest", bytes);
    assert.equal((await checkpoints.latest())?.iteration, 3, title);
    assert.equal(lines.length, reason === undefined ? 0 : 1, title);
    if (reason === undefined) continue;
    assert.match(lines[0], reason, title);
    assert.match(lines[0], /: using checkpoints\/step-00000003\.safetensors$/, title);
    assert.ok(!/[\n\0]/.test(lines[0]) && lines[0].length < 250, lines[0]);
    // The next save puts it right.
    await checkpoints.save(4, state(4));
    assert.equal((await checkpoints.latest())?.iteration, 4, title);
    assert.equal(lines.length, 1, title);
  }
});

test("CheckpointDirectory.latest() takes the newest where `latest` is a folder, and a save says so", async () => {
  await inFolder(async (folder) => {
    const lines: string[] = [];
    const store = new FileStore(folder);
    const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => lines.push(line));
    for (const iteration of [1, 2]) await checkpoints.save(iteration, state(iteration));
    await store.remove("checkpoints/latest");
    await store.write("checkpoints/latest/file", text("x"));
    assert.equal((await checkpoints.latest())?.iteration, 2);
    assert.equal(lines.length, 1);
    assert.match(
      lines[0],
      /^cannot read .*latest: it is not a regular file: using .*step-00000002/,
    );
    await assert.rejects(checkpoints.save(3, state(3)), {
      name: "CheckpointError",
      message: /^cannot write .*latest: [^\n]*$/,
    });
  });
});

test("CheckpointDirectory.latest() never starts anew silently when all is damaged", async () => {
  const { store, checkpoints } = directory();
  await checkpoints.save(1, state(1));
  await store.truncate("checkpoints/step-00000001.safetensors", 50);
  await assert.rejects(checkpoints.latest(), (error: Error) => {
    assert.ok(error instanceof CheckpointError);
    assert.match(error.message, /^no checkpoint in memory can be read: .*step-00000001/);
    return true;
  });
  await store.remove("checkpoints/step-00000001.safetensors");
  await assert.rejects(checkpoints.latest(), CheckpointError);
});

test("CheckpointDirectory.saveBest() keeps weights apart from checkpoints", async () => {
  const { store, checkpoints } = directory();
  assert.equal(await checkpoints.best(), undefined);
  await checkpoints.saveBest(7, state(7, { metric: "val/loss", value: 0.5 }));
  assert.equal(await checkpoints.latest(), undefined);
  const best = await checkpoints.best();
  assert.equal(best?.iteration, 7);
  assert.deepEqual(best?.state.meta, { metric: "val/loss", value: 0.5 });
  await store.write("checkpoints/best.safetensors", text("damaged file"));
  await assert.rejects(checkpoints.best(), CheckpointError);
});

test("CheckpointDirectory.best() takes the copy of damaged best weights, with one line", async () => {
  const best = "checkpoints/best.safetensors", copy = "checkpoints/best-copy.safetensors";
  const older = async (store: FileStore, name: string) => {
    await new CheckpointDirectory(store, "old").saveBest(4, state(4));
    await store.write(name, (await store.read("old/best.safetensors"))!);
  };
  const rows: [
    title: string,
    damage: (store: FileStore) => Promise<void>,
    outcome: RegExp | undefined,
    message?: RegExp,
  ][] = [
    ["nothing", async () => {}, undefined],
    ["best cut", (s) => s.truncate(best, 100), /^checkpoints\/best\.safetensors: .*: using .*copy/],
    [
      "best gone",
      (s) => s.remove(best),
      /^checkpoints\/best\.safetensors is missing: using .*copy/,
    ],
    ["best older", (s) => older(s, best), /best.safetensors: holds iteration 4, the best is of 7/],
    ["copy cut", (s) => s.truncate(copy, 100), undefined],
    ["copy gone", (s) => s.remove(copy), undefined],
    [
      "both cut",
      async (s) => (await s.truncate(best, 100), await s.truncate(copy, 99)),
      undefined,
      /^the best weights in .* cannot be read: .*best.safetensors: .*; .*copy.*; put a copy of yours in their place, or remove the files to go on with the newest weights$/,
    ],
    [
      "best cut, copy gone",
      async (s) => (await s.truncate(best, 100), await s.remove(copy)),
      undefined,
      /best-copy.safetensors is missing; put a copy/,
    ],
    [
      "best cut, copy older",
      async (s) => (await s.truncate(best, 100), await older(s, copy)),
      undefined,
      /best-copy.safetensors: holds iteration 4, the best is of 7; put a copy/,
    ],
  ];
  for (const [title, damage, line, message] of rows) {
    await inFolder(async (folder) => {
      const lines: string[] = [];
      const store = new FileStore(folder);
      const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => lines.push(line));
      await checkpoints.saveBest(7, state(7));
      await damage(store);
      if (message !== undefined) {
        await assert.rejects(checkpoints.best(7), { name: "CheckpointError", message });
        return;
      }
      for (let i = 0; i < 2; i++) {
        const found = await checkpoints.best(7);
        assert.equal(found?.iteration, 7, title);
        assert.deepEqual(found?.state.tensors["model.w"].data, new Float32Array([7, -7]), title);
      }
      assert.equal(lines.length, line === undefined ? 0 : 1, title);
      if (line !== undefined) assert.match(lines[0], line);
      await checkpoints.clear();
      assert.equal(await checkpoints.best(), undefined);
    });
  }
});

test("CheckpointDirectory.best() finds every changed byte of best.safetensors, and takes the copy", async () => {
  await inFolder(async (folder) => {
    const lines: string[] = [];
    const store = new FileStore(folder);
    const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => lines.push(line));
    await checkpoints.saveBest(7, state(7));
    const bytes = (await store.read("checkpoints/best.safetensors"))!;
    const path = join(folder, "checkpoints", "best.safetensors");
    for (let at = 0; at < bytes.length; at++) {
      for (const damaged of [bytes.subarray(0, at), bytes.map((b, i) => i === at ? b ^ 8 : b)]) {
        fs.writeFileSync(path, damaged);
        assert.equal((await checkpoints.best())?.iteration, 7);
        assert.match(lines.pop() ?? "", /^checkpoints\/best\.safetensors: .*: using .*best-copy/);
        assert.equal(lines.length, 0);
      }
    }
  });
});

test("CheckpointDirectory.prune() keeps newest, multiples, listed, latest and best", async () => {
  const rows: [KeepPolicy, number[]][] = [
    [{ keep: null }, [2, 4, 6, 8, 10, 12]],
    [{ keep: 1 }, [12]],
    [{ keep: 0 }, [12]],
    [{ keep: 3 }, [8, 10, 12]],
    [{ keep: 9 }, [2, 4, 6, 8, 10, 12]],
    [{ keep: 1, every: 6 }, [6, 12]],
    [{ keep: 2, every: 4, at: [2, 3] }, [2, 4, 8, 10, 12]],
  ];
  for (const [policy, expected] of rows) {
    const { store, checkpoints } = directory();
    await checkpoints.saveBest(2, state(2));
    for (let i = 2; i <= 12; i += 2) await checkpoints.save(i, state(i));
    await store.write("checkpoints/step-00000014.safetensors.tmp-0123abcd", text("torn"));
    await checkpoints.prune(policy);
    assert.deepEqual(await checkpoints.iterations(), expected, JSON.stringify(policy));
    const others = (await store.list("checkpoints")).filter((name) => !name.startsWith("step-"));
    assert.deepEqual(others, ["best.safetensors", "latest"]);
    assert.deepEqual((await store.list("checkpoints")).filter((n) => n.includes("tmp")), []);
  }
});

test("CheckpointDirectory.prune() does not count checkpoints beyond the latest", async () => {
  const { store, checkpoints } = directory();
  for (const i of [1, 2, 3]) await checkpoints.save(i, state(i));
  await store.truncate("checkpoints/step-00000003.safetensors", 20);
  const lines: string[] = [];
  const resumed = new CheckpointDirectory(store, "checkpoints", (line) => lines.push(line));
  assert.equal((await resumed.latest())?.iteration, 2);
  await resumed.save(2, state(2));
  await resumed.prune({ keep: 1 });
  // What could not be read is left to whoever can.
  assert.deepEqual(await resumed.iterations(), [2, 3]);
  assert.equal((await resumed.latest())?.iteration, 2);
  assert.equal(lines.length, 2);
});

test("CheckpointDirectory.prune() removes what a run that went back has left beyond the latest", async () => {
  for (const keep of [1, null]) {
    const { checkpoints, lines } = directory();
    for (const i of [1, 2, 3, 4]) await checkpoints.save(i, state(i));
    await checkpoints.load(2);
    await checkpoints.save(3, state(30));
    await checkpoints.prune({ keep, at: [4] });
    assert.deepEqual(await checkpoints.iterations(), keep === null ? [1, 2, 3] : [3]);
    assert.deepEqual(
      (await checkpoints.latest())?.state.tensors["model.w"].data,
      new Float32Array([30, -30]),
    );
    assert.deepEqual(lines, []);
  }
});

test("CheckpointDirectory.save() refuses an iteration that is no count", async () => {
  const { checkpoints } = directory();
  for (const iteration of [-1, 1.5, NaN, 2 ** 53]) {
    await assert.rejects(checkpoints.save(iteration, state(1)), CheckpointError);
  }
});
