/** Losses by name. */
import { ConfigError, show } from "../core/errors.ts";
import { join } from "../core/options.ts";
import { isClass, Registry } from "../core/registry.ts";
import * as tf from "../tensor/tf.ts";
import {
  type ComponentConfig,
  foldName,
  getFolded,
  readComponent,
  registerFolded,
} from "./component.ts";
import { brackets, lossOf } from "./items.ts";
import { itemKinds } from "./kinds.ts";
import type { Loss, LossResult } from "./loss.ts";

/**
 * A loss as a user may write it: `{ sum, count }`, or a scalar tensor, which is taken for the mean
 * over the batch's samples (sum = mean * batch size, count = batch size).
 */
export type LossFunction = (
  prediction: tf.Tensor,
  target: tf.Tensor,
  mask?: tf.Tensor,
) => LossResult | tf.Tensor;

/** Makes a loss from its options; `path` is where they stand in the config. */
export type LossFactory = (params: Record<string, unknown>, path: string) => LossFunction;

/** What names a loss: `"mse"`, `{ type, params }`, a loss, or a factory called without options. */
export type LossConfig =
  | string
  | ComponentConfig<LossFactory>
  | LossFunction
  | (() => LossFunction);

const registry: Registry<LossFactory> = new Registry("loss");

for (const { name, aliases, rule } of itemKinds) {
  registerFolded(registry, name, (params, path) => lossOf(rule(params, path)), aliases);
}

/** Why some metrics are no losses, by folded name. */
const refused = new Map<string, string>([
  [
    "rmse",
    "is not a sum over items, so batches of it do not add up; use 'mse', which has the " +
    "same minimum, and 'rmse' as a metric",
  ],
  ["r2", "is a metric, not a loss; use 'mse'"],
  ["corr", "is a metric, not a loss; use 'mse'"],
  ["accuracy", "is a metric, not a loss: its gradient is 0; use 'crossEntropy'"],
]);

/**
 * Makes `name` usable as `config.loss`.
 *
 * @example
 * ```ts
 * import { registerLoss, tf } from "downhill";
 *
 * registerLoss("pinball", ({ quantile = 0.5 }) => (prediction, target) => {
 *   const error = tf.sub(target, prediction);
 *   const q = Number(quantile);
 *   const each = tf.maximum(tf.mul(error, q), tf.mul(error, q - 1));
 *   return { sum: tf.sum(each), count: each.size };
 * });
 * ```
 */
export function registerLoss(name: string, factory: LossFactory): void {
  registerFolded(registry, name, factory);
}

/**
 * The loss that `config` names.
 *
 * Names are matched in any case, snake or camel (`crossEntropy`, `cross_entropy`), torch's class
 * names too (`L1Loss`, `MSELoss`, `HuberLoss`, `SmoothL1Loss`, `CrossEntropyLoss`). A function of
 * two or more parameters is a loss, one of fewer a factory; `{ type: factory }` is always a factory.
 *
 * @throws {ConfigError} Unknown name or option, or a name that is a metric only.
 */
export function buildLoss(config: LossConfig, path = "loss"): Loss {
  if (typeof config === "function") {
    if (!isClass(config) && config.length >= 2) return adapt(config as LossFunction, path);
    return build(config as LossFactory, {}, path, path);
  }
  const { type, params = {} } = readComponent<LossFactory>(
    config,
    path,
    "a name, { type, params } or a function",
  );
  const paramsPath = join(path, "params");
  if (typeof type !== "string") return build(type, params, path, paramsPath);
  const why = refused.get(foldName(type).replace(/^masked/, ""));
  if (why !== undefined && registry.find(type) === undefined) {
    throw new ConfigError(path, `${show(type)} ${why}`);
  }
  return build(getFolded(registry, type, path), params, path, paramsPath);
}

function build(
  factory: LossFactory,
  params: Record<string, unknown>,
  path: string,
  paramsPath: string,
): Loss {
  const loss: unknown = isClass(factory)
    ? new (factory as unknown as new (...args: unknown[]) => unknown)(params, paramsPath)
    : factory(params, paramsPath);
  if (typeof loss !== "function") {
    throw new ConfigError(path, `the factory must return a loss function, received ${show(loss)}`);
  }
  return adapt(loss as LossFunction, path);
}

/** Lets a loss return its mean as a scalar tensor. */
function adapt(loss: LossFunction, path: string): Loss {
  return (prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor) => {
    const result = loss(prediction, target, mask);
    if (isTensor(result)) {
      if (result.size !== 1) {
        throw new ConfigError(
          path,
          `must return { sum, count } or a scalar, received a tensor of shape ${
            brackets(result.shape)
          }`,
        );
      }
      const count = target.shape[0] ?? 1;
      return { sum: tf.mul(tf.reshape(result, []), count), count };
    }
    if (!isTensor(result?.sum) || !(typeof result.count === "number" || isTensor(result.count))) {
      throw new ConfigError(
        path,
        `must return { sum, count } or a scalar, received ${show(result)}`,
      );
    }
    return result;
  };
}

/** By shape, not by class: the tensor may come from another copy of tfjs-core. */
function isTensor(value: unknown): value is tf.Tensor {
  return typeof value === "object" && value !== null && "dataId" in value && "shape" in value;
}
