/** How a config names a component: `{ type, params, ... }`, or BasicTS' `{ TYPE, PARAM }`. */
import { ConfigError, show } from "./errors.ts";
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
  const rest = new Map(Object.entries(config));
  const take = (key: string, other: string): [string, unknown] => {
    if (rest.has(key) && rest.has(other)) {
      throw new ConfigError(
        join(path, other),
        `is the same option as ${show(key)}; give one of them, received both`,
      );
    }
    const spelt = rest.has(other) ? other : key;
    const value = rest.get(spelt);
    rest.delete(spelt);
    return [join(path, spelt), value];
  };
  const [typePath, type] = take("type", "TYPE");
  const [paramsPath, params = {}] = take("params", "PARAM");
  if (type === undefined) throw new ConfigError(typePath, "is required: a registered name");
  if (!isPlain(params)) {
    throw new ConfigError(paramsPath, `must be an object, received ${show(params)}`);
  }
  return { type, typePath, params, paramsPath, rest: Object.fromEntries(rest) };
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
