/**
 * One sample of every part goes through model, loss and metrics before a run begins, so that a model
 * that does not fit its data is one line instead of a stack trace from inside a run directory.
 */
import { ConfigError, suggest } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import { toTensors } from "../data/batch.ts";
import type { DataSplits, HostBatch } from "../data/dataset.ts";
import { brackets } from "../loss/items.ts";
import type { RunParts } from "../runner/base_iteration_runner.ts";
import { AuxiliaryLoss } from "../runner/callbacks/auxiliary_loss.ts";
import { lossOf, namedOutput } from "../runner/gradients.ts";
import * as tf from "../tensor/tf.ts";

/** What is tried. */
export type FitParts =
  & Pick<
    RunParts,
    "model" | "task" | "loss" | "metrics" | "horizonMetrics" | "callbacks" | "loaders"
  >
  & { readonly data: DataSplits; readonly name: string };

const PARTS = ["train", "validation", "test"] as const;

/**
 * Tries the first sample of each part that the run uses; a stream is left alone. Nothing is kept:
 * buffers that the forward pass assigns are put back.
 *
 * @throws {ConfigError} If model, loss or a metric refuses the sample, with its shapes.
 */
export async function checkFit(parts: FitParts, random: RandomStream): Promise<void> {
  for (const part of PARTS) {
    const dataset = parts.data[part];
    if (parts.loaders[part] === undefined || dataset === undefined || !("gather" in dataset)) {
      continue;
    }
    const sample = await dataset.gather([0]);
    try {
      tf.tidy(() => tryPart(parts, part, sample, random));
    } catch (error) {
      if (!isMisfit(error)) throw error;
      const shapes = Object.entries(sample).map(([name, { shape }]) =>
        `${name} ${brackets(shape)}`
      );
      throw new ConfigError(
        "model",
        `${parts.name} does not fit the ${part === "train" ? "training" : part} data: ${
          error.message.split("\n")[0]
        } (${shapes.join(", ")})`,
      );
    }
  }
}

function tryPart(
  parts: FitParts,
  part: typeof PARTS[number],
  sample: HostBatch,
  random: RandomStream,
): void {
  const { model, task } = parts;
  const training = part === "train";
  const flow = task.preprocess(toTensors(sample), { training, random });
  const buffers = Object.values(model.buffers ?? {});
  const before = buffers.map((buffer) => tf.clone(buffer));
  const output = namedOutput(model.forward(flow.model, { training, random }));
  buffers.forEach((buffer, i) => buffer.assign(before[i]));
  const { prediction } = output;
  lossOf(parts, output, { prediction, target: flow.target, mask: flow.mask });
  if (training) checkAuxiliary(parts, Object.keys(output));
  const units = task.postprocess(prediction, flow.target);
  const metrics = part === "test" ? [...parts.metrics, ...parts.horizonMetrics] : parts.metrics;
  for (const metric of metrics) metric.update(units.prediction, units.target, flow.mask);
}

function checkAuxiliary({ callbacks, name }: FitParts, outputs: string[]): void {
  for (const callback of callbacks) {
    if (!(callback instanceof AuxiliaryLoss)) continue;
    const missing = callback.keys.find((key) => !outputs.includes(key));
    if (missing === undefined) continue;
    throw new ConfigError(
      `${callback.path}.keys`,
      `${name} has no output '${missing}'${suggest(missing, outputs)}`,
    );
  }
}

/** A refused shape; a misplaced option has its own path, and a fault in a program its own trace. */
function isMisfit(error: unknown): error is Error {
  if (error instanceof ConfigError) return !/^(test|callbacks)\b/.test(error.path);
  return error instanceof Error &&
    ![TypeError, ReferenceError, SyntaxError].some((kind) => error instanceof kind);
}
