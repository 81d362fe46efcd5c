/** The tasks by name. */
import { between, object, parseOptions } from "../core/options.ts";
import { type Registered, Registry } from "../core/registry.ts";
import { classification } from "./classification.ts";
import { forecasting } from "./forecasting.ts";
import { imputation } from "./imputation.ts";
import type { Task, TaskOptions } from "./task.ts";

const tasks = new Registry<(options: TaskOptions) => Task>("task");
tasks.register("forecasting", forecasting, [], object({}));
tasks.register("classification", classification, [], object({}));
tasks.register("imputation", imputation, [], object({ ratio: between(0, 1).optional() }));

/** What `config.task` may name. */
export function registeredTasks(): Registered[] {
  return tasks.registered();
}

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
  const task = tasks.get(name, "task");
  return task({ ...options, ...parseOptions(tasks.options(name)!, params, "task.params", name) });
}
