/** Callbacks by name. */
import { readPlainComponent } from "../../core/component.ts";
import { ConfigError, editDistance, show } from "../../core/errors.ts";
import { join, type z } from "../../core/options.ts";
import { type Factory, fold, make, type Registered, Registry } from "../../core/registry.ts";
import { type Callback, hookNames } from "../hooks.ts";
import { AuxiliaryLoss, auxiliaryLossOptions } from "./auxiliary_loss.ts";
import { Checkpoint, checkpointOptions } from "./checkpoint.ts";
import { ClipGradients, clipGradientsOptions } from "./clip_gradients.ts";
import { Curriculum, curriculumOptions } from "./curriculum.ts";
import { EarlyStopping, earlyStoppingOptions } from "./early_stopping.ts";
import {
  ExponentialMovingAverage,
  exponentialMovingAverageOptions,
} from "./exponential_moving_average.ts";
import { JsonLines, jsonLinesOptions } from "./json_lines.ts";
import { LearningRateMonitor, learningRateMonitorOptions } from "./learning_rate_monitor.ts";
import { ProgressBar, progressBarOptions } from "./progress_bar.ts";
import { TensorBoard, tensorBoardOptions } from "./tensorboard.ts";

/** Makes a callback from its params; `path` is where they stand in the config. */
export type CallbackFactory = Factory<[params: Record<string, unknown>, path: string], Callback>;

const callbacks = new Registry<CallbackFactory>("callback");
callbacks.register("AuxiliaryLoss", AuxiliaryLoss, [], auxiliaryLossOptions);
callbacks.register("Checkpoint", Checkpoint, [], checkpointOptions);
callbacks.register("ClipGradients", ClipGradients, ["GradientClipping"], clipGradientsOptions);
callbacks.register("Curriculum", Curriculum, ["CurriculumLearning"], curriculumOptions);
callbacks.register("EarlyStopping", EarlyStopping, [], earlyStoppingOptions);
callbacks.register(
  "ExponentialMovingAverage",
  ExponentialMovingAverage,
  ["EMA"],
  exponentialMovingAverageOptions,
);
callbacks.register("JsonLines", JsonLines, [], jsonLinesOptions);
callbacks.register("LearningRateMonitor", LearningRateMonitor, [], learningRateMonitorOptions);
callbacks.register("ProgressBar", ProgressBar, [], progressBarOptions);
callbacks.register("TensorBoard", TensorBoard, [], tensorBoardOptions);

/**
 * Makes `name` available to configs.
 *
 * @param options The schema of its params, for the config's JSON schema.
 */
export function registerCallback(
  name: string,
  factory: CallbackFactory,
  options?: z.ZodObject,
): void {
  callbacks.register(name, factory, [], options);
}

/** What `config.callbacks` may name. */
export function registeredCallbacks(): Registered[] {
  return callbacks.registered();
}

/** Builds callbacks of a config by index: names, `{ type, params }`, factories, or callbacks as they are. */
export async function buildCallbacks(
  items: Iterable<readonly [index: number, item: unknown]>,
): Promise<Callback[]> {
  const built: Callback[] = [];
  for (const [i, item] of items) {
    const at = join("callbacks", i);
    const callback = await buildCallback(item, at);
    refuseNameless(callback, at);
    if (built.some((other) => other.name === callback.name)) {
      throw new ConfigError(
        at,
        `must have a name of its own, received ${show(callback.name)} twice`,
      );
    }
    refuseMisspelt(callback, at);
    built.push(callback);
  }
  return built;
}

function refuseNameless(callback: unknown, path: string): void {
  if (callback === null || typeof callback !== "object") {
    throw new ConfigError(path, `must be a callback with a name, received ${show(callback)}`);
  }
  const { name } = callback as { name?: unknown };
  if (typeof name === "string" && name !== "") return;
  const rule = "must be a non-empty string that no other callback has";
  throw new ConfigError(
    join(path, "name"),
    name === undefined ? `is required: ${rule}` : `${rule}, received ${show(name)}`,
  );
}

/** A method that goes by nearly the name of a hook would never be called. */
function refuseMisspelt(callback: Callback, path: string): void {
  for (
    let object: object | null = callback;
    object !== null && object !== Object.prototype;
    object = Object.getPrototypeOf(object)
  ) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(object))) {
      const meant = typeof value === "function" ? hookMeantBy(key) : undefined;
      if (meant === undefined) continue;
      throw new ConfigError(
        path,
        `${callback.name} has no hook ${show(key)}; did you mean '${meant}'?`,
      );
    }
  }
}

/** The hook that `name` misses by its case, an `on` before it, or a letter or two. */
function hookMeantBy(name: string): string | undefined {
  if (hookNames.includes(name) || name.startsWith("_")) return undefined;
  const folded = fold(name).replace(/^on/, "");
  return hookNames.find((hook) => {
    // A short word is soon near another one that means something else.
    const letters = hook.length >= 10 ? 2 : hook.length >= 8 ? 1 : 0;
    return editDistance(folded, hook.toLowerCase()) <= letters;
  });
}

async function buildCallback(item: unknown, path: string): Promise<Callback> {
  if (typeof item === "object" && item !== null && !isConfig(item)) return item as Callback;
  const { type, typePath, params, paramsPath } = readPlainComponent(
    item,
    path,
    "a name, { type, params } or a callback",
  );
  return await make(callbacks.resolve(type, typePath), params, paramsPath);
}

/** `{ type, params }`, as against an object of a class, which may have a field of that name. */
function isConfig(item: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(item);
  return ("type" in item || "TYPE" in item || "module" in item) &&
    (prototype === null || prototype === Object.prototype);
}
