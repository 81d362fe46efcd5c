/** Models by name, and building one from a plain object. */
import { readPlainComponent } from "../core/component.ts";
import { ConfigError, show } from "../core/errors.ts";
import type { z } from "../core/options.ts";
import { type Factory, make, type Registered, Registry } from "../core/registry.ts";
import * as tf from "../tensor/tf.ts";
import type { Model, ModelContext } from "./model.ts";

/** Makes a model from its params; `path` is where the params stand in the config, for errors. */
export type ModelFactory<P = Record<string, unknown>> = Factory<
  [params: P, context: ModelContext, path: string],
  Model
>;

/** A model in a config: a registered name, or in a program a class or function. */
export interface ModelConfig {
  readonly type: string | ModelFactory;
  readonly params?: Record<string, unknown>;
}

const registry = new Registry<ModelFactory>("model");

/**
 * Makes `name` usable as `model.type` in a config.
 *
 * @param options The schema of its params, for the config's JSON schema.
 */
export function registerModel<P = Record<string, unknown>>(
  name: string,
  factory: ModelFactory<P>,
  options?: z.ZodObject,
): void {
  registry.register(name, factory as unknown as ModelFactory, [], options);
}

/** The schema of the params of a registered model, if it was given. */
export function modelOptions(name: string): z.ZodObject | undefined {
  return registry.options(name);
}

/** What `model.type` may name. */
export function registeredModels(): Registered[] {
  return registry.registered();
}

/**
 * Builds and checks a model.
 *
 * @param path Where `config` stands in the run config.
 * @throws {ConfigError} If the type is unknown, the params are refused by the model, or what the
 *   factory made is no {@link Model}.
 */
export async function buildModel(
  config: ModelConfig,
  context: ModelContext,
  path = "model",
): Promise<Model> {
  const { type, typePath, params, paramsPath } = readPlainComponent(config, path);
  const factory = registry.resolve(type, typePath);
  const model = await make(factory, params, context, paramsPath);
  checkModel(model, typeof type === "string" ? type : show(type), path);
  return model;
}

/** Throws unless `model` fulfils the contract of {@link Model}. */
function checkModel(model: unknown, name: string, path: string): asserts model is Model {
  const fail = (rule: string, value: unknown): never => {
    throw new ConfigError(path, `${name} made no model: ${rule}, received ${show(value)}`);
  };
  if (model === null || typeof model !== "object") fail("must be an object", model);
  const { parameters, buffers, forward } = model as Partial<Model>;
  if (typeof forward !== "function") fail("'forward' must be a function", forward);
  for (const [key, set] of [["parameters", parameters], ["buffers", buffers]] as const) {
    if (key === "buffers" && set === undefined) continue;
    if (set === null || typeof set !== "object" || Array.isArray(set)) {
      fail(`'${key}' must be an object of variables by name`, set);
    }
    for (const [variable, value] of Object.entries(set as object)) {
      if (!(value instanceof tf.Variable)) {
        fail(`'${key}' must hold tf.Variable values, and '${variable}' is none`, value);
      }
      if (key === "parameters" && buffers !== undefined && Object.hasOwn(buffers, variable)) {
        fail("a name must stand in 'parameters' or 'buffers', not in both", variable);
      }
    }
  }
  const variables = Object.values(parameters as Model["parameters"]);
  if (!variables.some((variable) => variable.trainable)) {
    fail("'parameters' must hold at least one trainable variable", Object.keys(parameters ?? {}));
  }
}
