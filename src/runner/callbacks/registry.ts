/** Callbacks by name. */
import { ConfigError, show } from "../../core/errors.ts";
import { type Factory, make, Registry } from "../../core/registry.ts";
import type { Callback } from "../hooks.ts";
import { AuxiliaryLoss } from "./auxiliary_loss.ts";
import { Checkpoint } from "./checkpoint.ts";
import { ClipGradients } from "./clip_gradients.ts";
import { Curriculum } from "./curriculum.ts";
import { EarlyStopping } from "./early_stopping.ts";
import { ExponentialMovingAverage } from "./exponential_moving_average.ts";
import { JsonLines } from "./json_lines.ts";
import { LearningRateMonitor } from "./learning_rate_monitor.ts";
import { ProgressBar } from "./progress_bar.ts";
import { TensorBoard } from "./tensorboard.ts";

/** Makes a callback from its params; `path` is where they stand in the config. */
export type CallbackFactory = Factory<[params: Record<string, unknown>, path: string], Callback>;

const callbacks = new Registry<CallbackFactory>("callback");
callbacks.register("AuxiliaryLoss", AuxiliaryLoss);
callbacks.register("Checkpoint", Checkpoint);
callbacks.register("ClipGradients", ClipGradients, ["GradientClipping"]);
callbacks.register("Curriculum", Curriculum, ["CurriculumLearning"]);
callbacks.register("EarlyStopping", EarlyStopping);
callbacks.register("ExponentialMovingAverage", ExponentialMovingAverage, ["EMA"]);
callbacks.register("JsonLines", JsonLines);
callbacks.register("LearningRateMonitor", LearningRateMonitor);
callbacks.register("ProgressBar", ProgressBar);
callbacks.register("TensorBoard", TensorBoard);

/** Makes `name` available to configs. */
export function registerCallback(name: string, factory: CallbackFactory): void {
  callbacks.register(name, factory);
}

/** Builds a list of callbacks: names, `{ type, params }`, factories, or callbacks as they are. */
export async function buildCallbacks(
  list: readonly unknown[],
  path = "callbacks",
): Promise<Callback[]> {
  const built: Callback[] = [];
  for (const [i, item] of list.entries()) {
    const at = `${path}[${i}]`;
    const callback = await buildCallback(item, at);
    if (typeof callback?.name !== "string" || callback.name === "") {
      throw new ConfigError(at, `must be a callback with a name, received ${show(callback)}`);
    }
    if (built.some((other) => other.name === callback.name)) {
      throw new ConfigError(
        at,
        `must have a name of its own, received ${show(callback.name)} twice`,
      );
    }
    built.push(callback);
  }
  return built;
}

async function buildCallback(item: unknown, path: string): Promise<Callback> {
  if (typeof item === "object" && item !== null && !isConfig(item)) return item as Callback;
  const { type, params = {} } = typeof item === "object" && item !== null
    ? item as { type: unknown; params?: Record<string, unknown> }
    : { type: item };
  const factory = typeof type === "function"
    ? type as CallbackFactory
    : callbacks.get(String(type), `${path}.type`);
  return await make(factory, params, `${path}.params`);
}

/** `{ type, params }`, as against an object of a class, which may have a field of that name. */
function isConfig(item: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(item);
  return "type" in item && (prototype === null || prototype === Object.prototype);
}
