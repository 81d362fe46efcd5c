/** What a power cut leaves of a save. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { replayCrashes } from "./crash_states.ts";
import { SimulatedDisk } from "./simulated_disk.ts";

test("a power cut at any instant of a save leaves a valid checkpoint, whatever was not synced", async () => {
  const { instants, states } = await replayCrashes(4);
  assert.ok(instants > 150 && states > 350, `${instants} instants, ${states} states`);
});

test("the simulated disk finds a rename without a sync, and a folder that was not synced", async () => {
  const write = async (disk: SimulatedDisk, syncs: readonly string[]) => {
    const { open, rename, mkdir } = disk.operations as unknown as Record<
      string,
      (...args: unknown[]) => Promise<Record<string, (...args: unknown[]) => Promise<void>>>
    >;
    await mkdir("/a");
    const root = await open("/a", "r");
    await root.sync();
    const file = await open("/a/t", "wx");
    await file.write(new Uint8Array([1, 2]), 0, 2);
    if (syncs.includes("file")) await file.sync();
    await rename("/a/t", "/a/f");
    if (syncs.includes("folder")) await root.sync();
    return [...disk.crashStates()].map((files) => files.get("/a/f")?.join() ?? "none");
  };
  const durable = () => new SimulatedDisk(new Map([["/a/x", new Uint8Array()]]));
  assert.deepEqual(new Set(await write(durable(), ["file", "folder"])), new Set(["1,2"]));
  assert.deepEqual(
    new Set(await write(durable(), ["folder"])),
    new Set(["1,2", "", "1", "0,0"]),
  );
  assert.deepEqual(new Set(await write(durable(), ["file"])), new Set(["1,2", "none"]));
});
