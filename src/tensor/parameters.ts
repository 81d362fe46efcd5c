/**
 * Named parameter sets.
 *
 * A variable may stand under several names (tied weights): it is one parameter, called by its first
 * name, and reachable by all of them.
 */
import { ConfigError, show } from "../core/errors.ts";
import { join } from "../core/options.ts";
import * as tf from "./tf.ts";

/** A set of parameters and the names they go by. */
export interface NamedParameters {
  /** Each variable once, under its first name, in the given order. */
  readonly variables: ReadonlyMap<string, tf.Variable>;
  /** From every given name to the variable's first name. */
  readonly given: ReadonlyMap<string, string>;
  /** From every variable's own tfjs name to its first given name. */
  readonly own: ReadonlyMap<string, string>;
}

/**
 * Reads a map from names to variables.
 *
 * @throws {ConfigError} If a value is no variable, or the map is empty.
 */
export function namedParameters(
  parameters: Readonly<Record<string, tf.Variable>>,
  path = "parameters",
): NamedParameters {
  if (parameters === null || typeof parameters !== "object") {
    throw new ConfigError(
      path,
      `must be an object of variables by name, received ${show(parameters)}`,
    );
  }
  const variables = new Map<string, tf.Variable>();
  const given = new Map<string, string>();
  const firstName = new Map<tf.Variable, string>();
  for (const name of Object.keys(parameters)) {
    const variable = parameters[name];
    if (!(variable instanceof tf.Variable)) {
      throw new ConfigError(join(path, name), `must be a tf.Variable, received ${show(variable)}`);
    }
    const first = firstName.get(variable) ?? name;
    firstName.set(variable, first);
    given.set(name, first);
    if (first === name) variables.set(name, variable);
  }
  if (variables.size === 0) throw new ConfigError(path, "must hold at least one variable");
  const own = new Map([...variables].map(([name, variable]) => [variable.name, name]));
  return { variables, given, own };
}
