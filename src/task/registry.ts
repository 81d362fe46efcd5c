/** The tasks by name. */
import { ConfigError, show, suggest } from "../core/errors.ts";
import { between, object, parseOptions, type z } from "../core/options.ts";
import { classification } from "./classification.ts";
import { forecasting } from "./forecasting.ts";
import { imputation } from "./imputation.ts";
import type { Task, TaskOptions } from "./task.ts";

/** The options that a config may give a task. */
const schemas: Record<TaskName, z.ZodObject> = {
  forecasting: object({}),
  classification: object({}),
  imputation: object({ ratio: between(0, 1).optional() }),
};

/** The names that `DataSplits.task` may hold. */
export type TaskName = "forecasting" | "classification" | "imputation";

const tasks: Record<TaskName, (options: TaskOptions) => Task> = {
  forecasting,
  classification,
  imputation,
};

/**
 * The task called `name`.
 *
 * @param params Its options in a config.
 * @throws {ConfigError} If there is none of this name, or it has no such option.
 */
export function buildTask(
  name: string = "forecasting",
  options: TaskOptions = {},
  params: Record<string, unknown> = {},
): Task {
  if (!Object.hasOwn(tasks, name)) {
    throw new ConfigError(
      "task",
      `unknown task ${show(name)}${suggest(String(name), Object.keys(tasks))}`,
    );
  }
  const given = parseOptions(schemas[name as TaskName], params, "task.params", name);
  return tasks[name as TaskName]({ ...options, ...given });
}
