/** Every instant of a save at which the power may go, and everything that may then be left. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { FileStore, TEMPORARY_NAME } from "../../src/checkpoint/file_store.ts";
import { JsonLines } from "../../src/report/json_lines.ts";
import { FOLDER, open, period, stateOf } from "./period.ts";
import { type Files, SimulatedDisk } from "./simulated_disk.ts";

/** The newest checkpoint of a state, after which the run must be able to go on. */
async function recover(files: Files): Promise<number | undefined> {
  const disk = new SimulatedDisk(files);
  const { store, checkpoints } = open(disk);
  const found = await checkpoints.latest();
  if (found !== undefined) {
    assert.deepEqual(found.state.tensors["model.w"].data, new Float32Array([found.iteration]));
    const length = found.state.meta.length as number;
    const metrics = await store.read("metrics.jsonl");
    assert.ok(
      (metrics?.length ?? 0) >= length,
      "metrics.jsonl is shorter than its checkpoint says",
    );
    const whole = new TextDecoder().decode(metrics?.subarray(0, length)).trimEnd().split("\n");
    assert.equal(whole.length, found.iteration);
    whole.forEach((line, i) => assert.equal(JSON.parse(line).iteration, i + 1));
    const best = await checkpoints.best();
    assert.ok(best !== undefined && best.iteration >= found.iteration);
  }
  const next = (found?.iteration ?? 0) + 1;
  await checkpoints.save(next, stateOf(next));
  await checkpoints.prune({ keep: 2 });
  assert.equal((await checkpoints.latest())?.iteration, next);
  const names = await store.list("checkpoints");
  assert.deepEqual(names.filter((name) => TEMPORARY_NAME.test(name)), []);
  assert.equal(disk.handles, 0);
  return found?.iteration;
}

test("a power cut at any instant of a save leaves a valid checkpoint, whatever was not synced", async () => {
  const disk = new SimulatedDisk();
  const metrics = new JsonLines(new FileStore(FOLDER, disk.operations), "metrics.jsonl");
  const seen = new Map<string, number>();
  let states = 0, instants = 0;
  for (let iteration = 1; iteration <= 4; iteration++) {
    const before = iteration === 1 ? undefined : iteration - 1;
    const found = new Set<number | undefined>();
    disk.after = async () => {
      instants++;
      for (const files of disk.crashStates()) {
        states++;
        found.add(await recover(files));
      }
    };
    await period(disk, metrics, iteration);
    assert.deepEqual([...found].sort(), [before, iteration].sort(), `period ${iteration}`);
    disk.after = async () => {};
    // Once the save has been answered, nothing takes it back.
    for (const files of disk.crashStates()) assert.equal(await recover(files), iteration);
    seen.set(`period ${iteration}`, states);
  }
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
