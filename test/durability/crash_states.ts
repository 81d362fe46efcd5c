/** Every instant of a save at which the power may go, and everything that may then be left. */
import { strict as assert } from "node:assert";
import { FileStore, TEMPORARY_NAME } from "../../src/checkpoint/file_store.ts";
import { JsonLines } from "../../src/report/json_lines.ts";
import { FOLDER, open, period, stateOf } from "./period.ts";
import { type Files, SimulatedDisk } from "./simulated_disk.ts";

/** Replays `periods` saves; a valid checkpoint is in every state, and the run can go on from it. */
export async function replayCrashes(
  periods: number,
): Promise<{ instants: number; states: number }> {
  const disk = new SimulatedDisk();
  const metrics = new JsonLines(new FileStore(FOLDER, disk.operations), "metrics.jsonl");
  let states = 0, instants = 0;
  for (let iteration = 1; iteration <= periods; iteration++) {
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
  }
  return { instants, states };
}

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
