import { strict as assert } from "node:assert";
import { test } from "node:test";
import { CheckpointError } from "../core/errors.ts";
import { CheckpointDirectory, type CheckpointState, type KeepPolicy } from "./checkpoint.ts";
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
  for (const iteration of [99_999_999, 100_000_000, 5]) await checkpoints.save(iteration, state(1));
  assert.deepEqual(await checkpoints.iterations(), [5, 99_999_999, 100_000_000]);
  assert.equal((await checkpoints.latest())?.iteration, 5);
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

test("CheckpointDirectory.latest() refuses a pointer that leaves the folder", async () => {
  const { store, checkpoints, lines } = directory();
  await checkpoints.save(1, state(1));
  await store.write("checkpoints/latest", text("../../etc/passwd"));
  assert.equal((await checkpoints.latest())?.iteration, 1);
  assert.match(lines[0], /must name a checkpoint, received "\.\.\/\.\.\/etc\/passwd"/);
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
  const { store, checkpoints, lines } = directory();
  for (const i of [1, 2, 3]) await checkpoints.save(i, state(i));
  await store.truncate("checkpoints/step-00000003.safetensors", 20);
  assert.equal((await checkpoints.latest())?.iteration, 2);
  await checkpoints.save(2, state(2));
  await checkpoints.prune({ keep: 1 });
  assert.equal((await checkpoints.latest())?.iteration, 2);
  assert.equal(lines.length, 1);
});

test("CheckpointDirectory.save() refuses an iteration that is no count", async () => {
  const { checkpoints } = directory();
  for (const iteration of [-1, 1.5, NaN, 2 ** 53]) {
    await assert.rejects(checkpoints.save(iteration, state(1)), CheckpointError);
  }
});
