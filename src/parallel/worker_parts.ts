/** What a worker computes with, built from the config and the form of the data. */
import { type BackendPreference, selectBackend } from "../backend/select.ts";
import { ConfigError } from "../core/errors.ts";
import { importModules } from "../core/import_modules.ts";
import { randomStream } from "../core/random.ts";
import { dataOf } from "../data/data_form.ts";
import { buildLoss } from "../loss/registry.ts";
import { stepMetrics } from "../metric/horizon.ts";
import type { Metric } from "../metric/metric.ts";
import { buildMetrics } from "../metric/registry.ts";
import { buildModel } from "../model/registry.ts";
import { buildOptimizer } from "../optim/builder.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { buildCallbacks } from "../runner/callbacks/registry.ts";
import { Hooks } from "../runner/hooks.ts";
import type { PassParts } from "../runner/leaf_gradient.ts";
import { buildTask } from "../task/registry.ts";
import type { WorkerSpec } from "./protocol.ts";

/** The parts of a worker. */
export interface WorkerParts {
  readonly pass: PassParts;
  readonly optimizer: Optimizer;
  readonly metrics: Record<"validation" | "test", readonly Metric[]>;
}

/**
 * Builds them; the initial weights are replaced by those of the run.
 *
 * @param alive Called after each step of the building, and after each leaf of a gradient.
 */
export async function buildWorkerParts(
  spec: WorkerSpec,
  alive: () => void,
): Promise<WorkerParts> {
  await importModules(spec.imports, alive);
  const { deterministic, seed, baseDirectory, wasmPath } = spec;
  const lines: string[] = [];
  const { name } = await selectBackend(spec.backend as BackendPreference, {
    deterministic,
    log: (line) => lines.push(line),
    ...(wasmPath === undefined ? {} : { wasmPath }),
  });
  // Other bits than the run's.
  if (name !== spec.backend) throw new ConfigError("workers", lines.join("; "));
  alive();
  const { scaler } = dataOf(spec.form);
  const { type, params } = spec.task;
  const task = buildTask(type, { rescale: spec.rescale, scaler }, params);
  const metrics = buildMetrics(spec.metrics as never);
  const model = await buildModel(spec.model as never, {
    random: randomStream(seed, "init"),
    baseDirectory,
  });
  alive();
  return {
    pass: {
      model,
      task,
      loss: buildLoss(spec.loss as never),
      trainMetrics: spec.trainMetrics ? metrics : [],
      hooks: new Hooks(await buildCallbacks(spec.callbacks)),
      breathe: () => Promise.resolve(alive()),
    },
    optimizer: buildOptimizer(spec.optimizer as never, model.parameters),
    metrics: {
      validation: metrics,
      test: [...metrics, ...stepMetrics(metrics, spec.horizons)],
    },
  };
}
