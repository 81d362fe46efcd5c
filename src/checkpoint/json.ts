/**
 * JSON text that keeps every number.
 *
 *     NaN, Infinity, -Infinity, -0      the strings "NaN", "Infinity", "-Infinity", "-0"
 *     a string equal to one of these,   the same string with one more backslash before it
 *       or to one after backslashes
 *
 * and the key `__proto__` is refused, so that no copy of what was read can change a prototype;
 * so that `decodeJson(encodeJson(x))` is `x` for plain data. Properties that are undefined are left out.
 */
import { CheckpointError, show } from "../core/errors.ts";

const SPECIAL: ReadonlyMap<string, number> = new Map([
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ["-0", -0],
]);
const ESCAPED = /^\\*(?:NaN|-?Infinity|-0)$/;

/** @throws {CheckpointError} For a bigint, function, symbol, typed array, or instance of a class, or the key. */
export function encodeJson(value: unknown): string {
  return JSON.stringify(value, (key, v: unknown) => {
    refuseKey(key);
    if (typeof v === "number") return special(v) ?? v;
    if (typeof v === "string") return ESCAPED.test(v) ? `\\${v}` : v;
    if (["bigint", "function", "symbol"].includes(typeof v) || !isPlain(v)) {
      throw new CheckpointError(`${show(key)}: must be plain data, received ${show(v)}`);
    }
    return v;
  });
}

/**
 * @throws {SyntaxError} For text that is not JSON.
 * @throws {CheckpointError} For the key `__proto__`.
 */
export function decodeJson(text: string): unknown {
  return JSON.parse(text, (key, v: unknown) => {
    refuseKey(key);
    if (typeof v !== "string" || !ESCAPED.test(v)) return v;
    return v.startsWith("\\") ? v.slice(1) : SPECIAL.get(v);
  });
}

function refuseKey(key: string): void {
  if (key === "__proto__") throw new CheckpointError(`the key ${key} must not stand in metadata`);
}

function special(value: number): string | undefined {
  if (Object.is(value, -0)) return "-0";
  return Number.isFinite(value) ? undefined : String(value);
}

/** Not an object, an array, or an object that a literal makes. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
