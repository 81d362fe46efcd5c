/** `--set path=value`: one value of a config changed from the command line. */
import { ConfigError, show } from "../core/errors.ts";

const FORBIDDEN = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Sets `a.b.0=value` in `config`; the value is read as JSON, and as text where it is none.
 * Missing sections are made; keys that reach into an object's prototype are refused.
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
  section[keys[keys.length - 1]] = parseValue(override.slice(at + 1));
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
