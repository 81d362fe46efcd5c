/** How a run starts: on from a checkpoint, or anew. */
import { loadWeights } from "../checkpoint/weights.ts";
import { CheckpointError } from "../core/errors.ts";
import type { RunParts } from "./parts.ts";
import { clearReports } from "./run_files.ts";
import { modelTensors } from "./snapshot.ts";
import type { RunState } from "./state.ts";

/** Says what a restored run does; one with more iterations to make than before goes on. */
export function goOn({ settings, store, output }: RunParts, state: RunState): void {
  const { iteration } = state;
  const more = iteration < settings.train.iterations;
  const asked = settings.resume === "continue";
  if (more && (state.finished === "iterations" || (asked && state.finished === "early-stopping"))) {
    state.finished = undefined;
  }
  const { exception } = state;
  delete state.exception;
  const why = exception === undefined ? "" : `, where it ended with: ${exception}`;
  output.line(
    state.finished === undefined
      ? `resuming ${store.location} after iteration ${iteration}${why}`
      : `${store.location} has finished (${state.finished}, iteration ${iteration}); testing only`,
  );
}

/** Starts from the fine-tuning weights or as built, in an empty directory. */
export async function begin(parts: RunParts): Promise<void> {
  const { settings, persistent, store, model, output, checkpoints } = parts;
  const { resume, fineTune } = settings;
  if (persistent && resume === "required") {
    throw new CheckpointError(
      `checkpoint.resume is "required" and ${store.location} holds no checkpoint`,
    );
  }
  if (fineTune !== undefined) {
    await loadWeights(fineTune.path, modelTensors(model), { strict: fineTune.strict });
    output.line(`fine-tuning from ${fineTune.path}`);
  }
  if (!persistent) return;
  await checkpoints.clear();
  await clearReports(store);
}
