/** Models by name, and building one from a plain object. */
import { ConfigError, show } from "../core/errors.ts";
import { anyObject, object, parseOptions, z } from "../core/options.ts";
import { type Factory, make, Registry } from "../core/registry.ts";
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

interface Entry {
  readonly factory: ModelFactory;
  readonly schema: z.ZodObject | undefined;
}

const registry = new Registry<Entry>(
  "model",
  (entry) => typeof (entry as Entry).factory === "function",
);

/**
 * Makes `name` usable as `model.type` in a config.
 *
 * @param schema The params' schema, where there is one, for config schemas and editors.
 */
export function registerModel<P = Record<string, unknown>>(
  name: string,
  factory: ModelFactory<P>,
  schema?: z.ZodObject,
): void {
  registry.register(name, { factory: factory as unknown as ModelFactory, schema });
}

/** The registered names, sorted. */
export function modelNames(): string[] {
  return registry.names();
}

/** The schema of a registered model's params, if it was given. */
export function modelSchema(name: string): z.ZodObject | undefined {
  return registry.find(name)?.schema;
}

const configSchema = object({
  type: z.union([z.string(), z.custom<ModelFactory>((value) => typeof value === "function")], {
    error: "must be a registered name, a class or a function",
  }),
  params: anyObject().default({}),
});

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
  const { type, params } = parseOptions(configSchema, config, path, "a model");
  const factory = typeof type === "string"
    ? registry.get(type, `${path}.type`).factory
    : type as ModelFactory;
  const model = await make(factory, params, context, `${path}.params`);
  checkModel(model, typeof type === "string" ? type : show(type), path);
  return model;
}

/** Throws unless `model` fulfils the contract of {@link Model}. */
export function checkModel(model: unknown, name: string, path: string): asserts model is Model {
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
      if (buffers !== undefined && key === "parameters" && variable in buffers) {
        fail("a name must stand in 'parameters' or 'buffers', not in both", variable);
      }
    }
  }
  const variables = Object.values(parameters as Model["parameters"]);
  if (!variables.some((variable) => variable.trainable)) {
    fail("'parameters' must hold at least one trainable variable", Object.keys(parameters ?? {}));
  }
}
