/** Losses by name. */
import { readPlainComponent } from "../core/component.ts";
import { ConfigError, show } from "../core/errors.ts";
import type { z } from "../core/options.ts";
import { fold, isClass, make, type Maker, type Registered, Registry } from "../core/registry.ts";
import * as tf from "../tensor/tf.ts";
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
export type LossFactory = Maker<[params: Record<string, unknown>, path: string], LossFunction>;

/** What names a loss: `"mse"`, `{ type, params }`, a loss, or a factory called without options. */
export type LossConfig =
  | string
  | { readonly type: string | LossFactory; readonly params?: Record<string, unknown> }
  | LossFunction
  | (() => LossFunction);

const registry: Registry<LossFactory> = new Registry("loss");

for (const { name, aliases, rule, options } of itemKinds) {
  registry.register(name, (params, path) => lossOf(rule(params, path)), aliases, options);
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
 * @param options The schema of its params, for the config's JSON schema.
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
export function registerLoss(name: string, factory: LossFactory, options?: z.ZodObject): void {
  registry.register(name, factory, [], options);
}

/** What `config.loss` may name. */
export function registeredLosses(): Registered[] {
  return registry.registered();
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
  if (typeof config === "function" && !isClass(config) && config.length >= 2) {
    return adapt(config as LossFunction, path);
  }
  const { type, typePath, params, paramsPath } = readPlainComponent(
    config,
    path,
    "a name, { type, params } or a function",
  );
  if (typeof type === "string" && registry.find(type) === undefined) {
    const why = refused.get(fold(type).replace(/^masked/, ""));
    if (why !== undefined) throw new ConfigError(typePath, `${show(type)} ${why}`);
  }
  const loss: unknown = make(registry.resolve(type, typePath), params, paramsPath);
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
