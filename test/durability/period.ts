/** What a run writes between two checkpoints, on a disk of a test. */
import { CheckpointDirectory, type CheckpointState } from "../../src/checkpoint/checkpoint.ts";
import { FileStore } from "../../src/checkpoint/file_store.ts";
import type { JsonLines } from "../../src/report/json_lines.ts";
import type { SimulatedDisk } from "./simulated_disk.ts";

/** The folder of the run. */
export const FOLDER = "/runs/one";

/** A state that shows the iteration it is of. */
export function stateOf(iteration: number, length = 0): CheckpointState {
  return {
    tensors: { "model.w": { dtype: "F32", shape: [1], data: new Float32Array([iteration]) } },
    meta: { length },
  };
}

/** The run's store and checkpoints on `disk`. */
export function open(
  disk: SimulatedDisk,
): { store: FileStore; checkpoints: CheckpointDirectory } {
  const store = new FileStore(FOLDER, disk.operations);
  return { store, checkpoints: new CheckpointDirectory(store, "checkpoints", () => {}) };
}

/** Reports, the best weights, a checkpoint; then what is no longer needed goes. */
export async function period(
  disk: SimulatedDisk,
  metrics: JsonLines,
  iteration: number,
): Promise<void> {
  const { checkpoints } = open(disk);
  metrics.write({ iteration, phase: "train", loss: 1 / iteration });
  const length = await metrics.flush();
  await checkpoints.saveBest(iteration, stateOf(iteration));
  await checkpoints.save(iteration, stateOf(iteration, length));
  await checkpoints.prune({ keep: 2 });
}
