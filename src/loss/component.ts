/** How a config names a loss or a metric: a name, or `{ type, params }`. */
import { ConfigError, show, suggest } from "../core/errors.ts";
import { join } from "../core/options.ts";
import type { Registry } from "../core/registry.ts";

/** A component as a config names it. */
export interface ComponentConfig<F> {
  /** A registered name, or in a program the factory itself. */
  readonly type: string | F;
  /** Its options. @default {} */
  readonly params?: Record<string, unknown>;
}

/**
 * Reads `"mse"`, `{ type, params }` and BasicTS' `{ TYPE, PARAM }`.
 *
 * @throws {ConfigError} If it is none of these.
 */
export function readComponent<F>(
  config: unknown,
  path: string,
  accepted: string,
): ComponentConfig<F> {
  if (typeof config === "string") return { type: config };
  if (config === null || typeof config !== "object" || Array.isArray(config)) {
    throw new ConfigError(path, `must be ${accepted}, received ${show(config)}`);
  }
  const basic = "TYPE" in config;
  const [typeKey, paramsKey] = basic ? ["TYPE", "PARAM"] : ["type", "params"];
  for (const key of Object.keys(config)) {
    if (key !== typeKey && key !== paramsKey) {
      throw new ConfigError(
        join(path, key),
        `unknown option ${show(key)}${suggest(key, [typeKey, paramsKey])}`,
      );
    }
  }
  const { [typeKey]: type, [paramsKey]: params } = config as Record<string, unknown>;
  if (typeof type !== "string" && typeof type !== "function") {
    throw new ConfigError(join(path, typeKey), `must be a name, received ${show(type)}`);
  }
  if (
    params !== undefined && (params === null || typeof params !== "object" || Array.isArray(params))
  ) {
    throw new ConfigError(join(path, paramsKey), `must be an object, received ${show(params)}`);
  }
  return { type: type as string | F, params: params as Record<string, unknown> | undefined };
}

/** Registers `name` so that `cross_entropy`, `CrossEntropy` and `crossEntropy` are the same. */
export function registerFolded<T>(
  registry: Registry<T>,
  name: string,
  entry: T,
  aliases: readonly string[] = [],
): void {
  registry.register(name, entry, [name, ...aliases].map(foldName));
}

/** The entry called `name` in any case, snake or camel. */
export function getFolded<T>(registry: Registry<T>, name: string, path: string): T {
  return registry.find(name) ?? registry.find(foldName(name)) ?? registry.get(name, path);
}

/** `cross_entropy`, `CrossEntropy` -> `crossentropy`. */
export function foldName(name: string): string {
  return name.replaceAll(/[_\-\s]/g, "").toLowerCase();
}
