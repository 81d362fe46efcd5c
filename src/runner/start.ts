/** How a run starts: on from a checkpoint, or anew. */
import { loadWeights } from "../checkpoint/weights.ts";
import { CheckpointError } from "../core/errors.ts";
import type { Model } from "../model/model.ts";
import type { RunParts } from "./parts.ts";
import { clearReports } from "./run_files.ts";
import type { RunSettings } from "./settings.ts";
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
  const why = exception === undefined ? "" : `, where it ended with: ${exception}`;
  // More iterations are not enough to go on.
  const how = state.finished === "early-stopping"
    ? ' (checkpoint.resume "continue" goes on, "never" or another name trains anew)'
    : "";
  output.line(
    state.finished === undefined
      ? `resuming ${store.location} after iteration ${iteration}${why}`
      : `${store.location} has finished (${state.finished}, iteration ${iteration}); testing only${how}`,
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
    output.line(`fine-tuning from ${fineTune.path}${await loadSome(fineTune, model)}`);
  }
  if (!persistent) return;
  if (resume !== "never" && await store.read("config.json") !== undefined) {
    output.line(`${store.location} holds a run without a checkpoint: training from the start`);
  }
  await checkpoints.clear();
  await clearReports(store);
}

/** Loads the fine-tuning weights; if not strictly, answers what was loaded and what was not. */
async function loadSome(
  { path, strict }: NonNullable<RunSettings["fineTune"]>,
  model: Model,
): Promise<string> {
  const wanted = modelTensors(model);
  const report = await loadWeights(path, wanted, { strict });
  if (strict) return "";
  const { missing, mismatched, unexpected } = report;
  const total = Object.keys(wanted).length;
  const loaded = total - missing.length - mismatched.length;
  const told = `${loaded} of ${total} tensors loaded, ${missing.length} missing, ` +
    `${mismatched.length} mismatched, ${unexpected.length} unexpected`;
  if (loaded > 0) return `: ${told}`;
  throw new CheckpointError(`fineTune.path: ${path} has nothing for the model: ${told}`);
}
