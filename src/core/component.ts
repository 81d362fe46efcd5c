/**
 * How a config names a component: `{ type, params, ... }`.
 *
 * Two spellings of BasicTS mean the same: `{ TYPE, PARAM }`, and `{ name, module, params }`, which is
 * how it writes a class to JSON; there `type` may itself be `{ name, module }`. The module is
 * Python's: a name is enough here.
 */
import { ConfigError, show, suggest } from "./errors.ts";
import { join } from "./options.ts";

/** A component as read from a config. */
export interface Component {
  /** A name, or in a program the component itself. */
  readonly type: unknown;
  /** Where the type stands, for errors. */
  readonly typePath: string;
  /** Its options; empty if there are none. */
  readonly params: Readonly<Record<string, unknown>>;
  /** Where the options stand, for errors. */
  readonly paramsPath: string;
  /** The other keys, unchecked. */
  readonly rest: Readonly<Record<string, unknown>>;
}

/**
 * Reads a component; nothing of `config` is changed.
 *
 * @throws {ConfigError} If it is no object, has no type, has one in both spellings, or has params
 * that are no object.
 */
export function readComponent(config: unknown, path: string): Component {
  if (!isPlain(config)) {
    throw new ConfigError(path, `must be an object { type, params }, received ${show(config)}`);
  }
  const { type, typePath, params = {}, paramsPath, rest } = spelt(config, path);
  if (type === undefined) throw new ConfigError(typePath, "is required: a registered name");
  if (!isPlain(params)) {
    throw new ConfigError(paramsPath, `must be an object, received ${show(params)}`);
  }
  return { type, typePath, params, paramsPath, rest };
}

/**
 * Reads a component that has no keys but type and params.
 *
 * @param accepted What the place takes, in words, where it takes a bare name or a function as well.
 * @throws {ConfigError} As {@link readComponent}, or for another key.
 */
export function readPlainComponent(config: unknown, path: string, accepted?: string): Component {
  if (accepted !== undefined) {
    if (typeof config === "string" || typeof config === "function") {
      const paramsPath = join(path, "params");
      return { type: config, typePath: path, params: {}, paramsPath, rest: {} };
    }
    if (!isPlain(config)) {
      throw new ConfigError(path, `must be ${accepted}, received ${show(config)}`);
    }
  }
  const [extra] = isPlain(config) ? Object.keys(spelt(config, path).rest) : [];
  if (extra === undefined) return readComponent(config, path);
  throw new ConfigError(
    join(path, extra),
    `unknown option ${show(extra)}${suggest(extra, ["type", "params"])}`,
  );
}

/** A copy of `config` that spells its type and params `type` and `params`; nothing is checked. */
export function canonicalComponent(
  config: Readonly<Record<string, unknown>>,
  path: string,
): Record<string, unknown> {
  const { type, params, rest } = spelt(config, path);
  return {
    ...(type === undefined ? {} : { type }),
    ...(params === undefined ? {} : { params }),
    ...rest,
  };
}

function spelt(
  config: Readonly<Record<string, unknown>>,
  path: string,
): Omit<Component, "params"> & { params: unknown } {
  const rest = new Map(Object.entries(config));
  const take = (key: string, other: string): [string, unknown] => {
    if (rest.has(key) && rest.has(other)) {
      throw new ConfigError(
        join(path, other),
        `is the same option as ${show(key)}; give one of them, received both`,
      );
    }
    const spelling = rest.has(other) ? other : key;
    const value = rest.get(spelling);
    rest.delete(spelling);
    return [join(path, spelling), value];
  };
  let [typePath, type] = take("type", "TYPE");
  const [paramsPath, params] = take("params", "PARAM");
  if (type === undefined && isReference(config)) {
    [typePath, type] = [join(path, "name"), config.name];
    rest.delete("name");
    rest.delete("module");
  } else if (isReference(type)) {
    [typePath, type] = [join(typePath, "name"), type.name];
  }
  return { type, typePath, params, paramsPath, rest: Object.fromEntries(rest) };
}

/** `{ name, module }`. */
function isReference(value: unknown): value is { name: string; module: string } {
  return isPlain(value) && typeof value.name === "string" && typeof value.module === "string";
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
