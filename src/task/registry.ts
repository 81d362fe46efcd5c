/** The tasks by name. */
import { between, object, type z } from "../core/options.ts";
import { type Registered, Registry } from "../core/registry.ts";
import { classification } from "./classification.ts";
import { forecasting } from "./forecasting.ts";
import { imputation } from "./imputation.ts";
import type { Task, TaskOptions } from "./task.ts";

/** What a config may say of its task. */
export const taskOptions: z.ZodObject = object({ ratio: between(0, 1).optional() });

const tasks = new Registry<(options: TaskOptions) => Task>("task");
tasks.register("forecasting", forecasting, [], taskOptions);
tasks.register("classification", classification, [], taskOptions);
tasks.register("imputation", imputation, [], taskOptions);

/** What `config.task` may name. */
export function registeredTasks(): Registered[] {
  return tasks.registered();
}

/**
 * The task called `name`.
 *
 * @throws {ConfigError} If there is none of this name, or an option is out of range.
 */
export function buildTask(name: string = "forecasting", options: TaskOptions = {}): Task {
  return tasks.get(name, "task")(options);
}
