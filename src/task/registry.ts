/** The tasks by name. */
import { ConfigError, show, suggest } from "../core/errors.ts";
import { classification } from "./classification.ts";
import { forecasting } from "./forecasting.ts";
import { imputation } from "./imputation.ts";
import type { Task, TaskOptions } from "./task.ts";

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
 * @throws {ConfigError} If there is none of this name, or an option is out of range.
 */
export function buildTask(name: string = "forecasting", options: TaskOptions = {}): Task {
  if (!Object.hasOwn(tasks, name)) {
    throw new ConfigError(
      "task",
      `unknown task ${show(name)}${suggest(String(name), Object.keys(tasks))}`,
    );
  }
  return tasks[name as TaskName](options);
}
