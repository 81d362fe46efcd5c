/** `--set path=value`: one value of a config changed from the command line. */
import { ConfigError, show } from "../core/errors.ts";
import { camel, objectSchema, unwrapped, z } from "../core/options.ts";
import { datasetOptions } from "../data/registry.ts";
import { modelOptions } from "../model/registry.ts";
import { runConfigSchema } from "./schema.ts";

const FORBIDDEN = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Sets `a.b.0=value` in `config`. Where an option is text (`name`, `checkpoint.directory`, `path` of a
 * ForecastingCsv), the value is that text, JSON quotes taken off; elsewhere it is read as JSON, and as
 * text where it is none. Missing sections are made; keys that reach into an object's prototype are
 * refused.
 */
export function setPath(config: Record<string, unknown>, override: string): void {
  const at = override.indexOf("=");
  if (at < 1) throw new ConfigError("--set", `must be path=value, received ${show(override)}`);
  const keys = override.slice(0, at).split(".");
  if (keys.some((key) => key === "" || FORBIDDEN.has(key))) {
    throw new ConfigError(
      "--set",
      `must have a path of plain keys, received ${show(override.slice(0, at))}`,
    );
  }
  let section = config;
  for (const [i, key] of keys.slice(0, -1).entries()) {
    const next = Object.hasOwn(section, key) ? section[key] : undefined;
    if (next === undefined) section[key] = {};
    else if (next === null || typeof next !== "object") {
      throw new ConfigError(
        keys.slice(0, i + 1).join("."),
        `must be an object to set ${keys.join(".")} in it, received ${show(next)}`,
      );
    }
    section = section[key] as Record<string, unknown>;
  }
  const text = override.slice(at + 1);
  const value = parseValue(text);
  const keep = typeof value !== "string" && isText(runConfigSchema, keys, config);
  section[keys[keys.length - 1]] = keep ? text : value;
}

/** Whether the option at `keys` is text and nothing else; the params of an imported component are not known here. */
function isText(
  schema: z.ZodType | undefined,
  keys: readonly string[],
  config: Record<string, unknown>,
): boolean {
  const [key, ...rest] = keys;
  if (key === undefined) return schema instanceof z.ZodString;
  const shape = objectSchema(schema)?.shape ?? {};
  const name = Object.keys(shape).find((known) => camel(known) === camel(key));
  if (name === undefined) return false;
  const at = rest[0] === "params" ? paramsSchema(name, config[key]) : undefined;
  if (at !== undefined) return isText(at, rest.slice(1), {});
  return isText(unwrapped(shape[name]), rest, {});
}

/** The schema of a model's or data set's params. */
function paramsSchema(section: string, component: unknown): z.ZodObject | undefined {
  const { type } = (component ?? {}) as { type?: unknown };
  if (typeof type !== "string") return undefined;
  if (section === "model") return modelOptions(type);
  return section === "data" ? datasetOptions(type) : undefined;
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text, (key, value) => {
      if (FORBIDDEN.has(key)) throw new ConfigError("--set", `must not have the key ${key}`);
      return value;
    });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    return text;
  }
}
