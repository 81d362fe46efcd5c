/** The public class: a run built from a plain object. */
import { consoleOutput } from "../report/console.ts";
import { BaseIterationRunner } from "../runner/base_iteration_runner.ts";
import { buildParts } from "./build_parts.ts";
import { checkCreateOptions, type CreateOptions } from "./create_options.ts";
import { importModules } from "../core/import_modules.ts";
import { resolveConfig, type RunConfig } from "./schema.ts";

export type { CreateOptions } from "./create_options.ts";

/**
 * A training run described by a plain object.
 *
 * @example Train a linear forecaster on a small matrix
 * ```ts
 * import { strict as assert } from "node:assert";
 * import { IterationRunner } from "downhill";
 * import "downhill/models";
 *
 * const values = Float32Array.from({ length: 400 }, (_, t) => Math.sin(t / 5));
 * const run = await IterationRunner.create({
 *   backend: "cpu",
 *   model: { type: "NLinear", params: { inputLength: 24, outputLength: 6, channels: 1 } },
 *   data: { type: "ForecastingArray", params: { values, channels: 1, inputLength: 24, outputLength: 6 } },
 *   optimizer: { type: "Adam", params: { lr: 0.01 } },
 *   train: { iterations: 20 },
 *   checkpoint: false,
 *   log: { progress: false },
 * });
 * const summary = await run.train();
 * assert(summary.iterations === 20);
 * run.dispose();
 * ```
 */
export class IterationRunner extends BaseIterationRunner {
  /**
   * Checks the config and builds model, data, optimizer and scheduler. Nothing is written before
   * `train()`; the config object is never changed.
   *
   * @throws {ConfigError} At the first fault, with path, rule and value.
   * @throws {DataError} If the data cannot be used.
   * @throws {CheckpointError} If `purpose` is `"predict"` and the directory has no weights.
   */
  static async create(config: RunConfig, options: CreateOptions = {}): Promise<IterationRunner> {
    const checked = checkCreateOptions(options);
    const { output = consoleOutput(), imports = [] } = checked;
    const resolved = resolveConfig(config);
    await importModules(imports);
    const parts = await buildParts(resolved, config, output, checked);
    const runner = new IterationRunner(parts);
    try {
      // Without best weights, a run predicts with its newest ones.
      if (options.purpose === "predict" && await parts.checkpoints.best() === undefined) {
        await runner.restore();
      }
      return runner;
    } catch (error) {
      runner.dispose();
      throw error;
    }
  }
}
