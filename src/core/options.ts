/**
 * Options from plain objects: a small vocabulary of zod schemas whose messages are rules
 * ("must be a number >= 0"), and one parser that accepts torch spelling (`weight_decay`, `T_max`)
 * and camelCase (`weightDecay`, `tMax`) and turns the first fault into a one-line ConfigError.
 *
 * A schema names its keys in one canonical spelling. Every rule is a sentence of its own, so that
 * the error, the documentation and the generated JSON schema say the same.
 */
import { z } from "zod";
import { ConfigError, show, suggest } from "./errors.ts";
import { runtime } from "./host.ts";

export { z };

// Zod tries whether it may make functions from text, which the content security policy of a page
// reports where it does not allow it.
if (runtime === "browser") z.config({ jitless: true });

/**
 * Of alternatives, one that a value breaks only the bounds of would speak for all of them, were that
 * not the end of its checks.
 */
const abort = true;

/** A finite number. */
export const number = (): z.ZodNumber => z.number({ error: "must be a finite number" });

/** A finite number >= `min`. */
export const atLeast = (min: number): z.ZodNumber => {
  const error = `must be a number >= ${min}`;
  return z.number({ error }).min(min, { error, abort });
};

/** A finite number > `min`. */
export const above = (min: number): z.ZodNumber => {
  const error = `must be a number > ${min}`;
  return z.number({ error }).gt(min, { error, abort });
};

/** A finite number in [min, max]. */
export const between = (min: number, max: number): z.ZodNumber => {
  const error = `must be a number in [${min}, ${max}]`;
  return z.number({ error }).min(min, { error, abort }).max(max, { error, abort });
};

/** A finite number in [min, max). */
export const below = (min: number, max: number): z.ZodNumber => {
  const error = `must be a number in [${min}, ${max})`;
  return z.number({ error }).min(min, { error, abort }).lt(max, { error, abort });
};

/** An integer >= `min`. */
export const integer = (min = 0): z.ZodNumber => {
  const error = `must be an integer >= ${min}`;
  return z.number({ error }).int({ error }).min(min, { error, abort });
};

/** true or false. */
export const flag = (): z.ZodBoolean => z.boolean({ error: "must be true or false" });

/** A non-empty string. */
export const text = (): z.ZodString => {
  const error = "must be a non-empty string";
  return z.string({ error }).min(1, { error, abort });
};

/** One of a few strings. */
export const oneOf = <const T extends readonly [string, ...string[]]>(
  values: T,
): z.ZodEnum<{ [K in T[number]]: K }> =>
  z.enum(values, { error: `must be one of ${values.map((v) => show(v)).join(", ")}` });

/** An array whose items follow `item`. */
export const list = <T extends z.ZodType>(item: T, rule = "must be an array"): z.ZodArray<T> =>
  z.array(item, { error: rule });

/** Two values, each with a rule of its own: `betas`, `eps`. */
export const pair = <A extends z.ZodType, B extends z.ZodType>(
  a: A,
  b: B,
): z.ZodTuple<[A, B], null> => z.tuple([a, b], { error: "must be an array of 2 numbers" });

/** A plain object with any keys; its component checks them. */
export const anyObject = (): z.ZodRecord<z.ZodString, z.ZodUnknown> =>
  z.record(z.string(), z.unknown(), { error: "must be an object" });

/** An object with exactly these keys. */
export const object = <T extends z.ZodRawShape>(shape: T): z.ZodObject<T, z.core.$strict> =>
  z.strictObject(shape, {
    error: (issue) => issue.code === "invalid_type" ? "must be an object" : undefined,
  });

/** Alternatives; `rule` says what is accepted, where it is not an object's key that is wrong. */
export const either = <const T extends readonly [z.ZodType, z.ZodType, ...z.ZodType[]]>(
  rule: string,
  ...options: T
): z.ZodUnion<T> => z.union(options, { error: rule });

/**
 * Checks `input` against `schema` and returns a new object with defaults filled in.
 *
 * Keys may be spelt as in the schema, in torch's snake_case or in camelCase; giving one option in
 * two spellings is an error. The input is never changed.
 *
 * @param path Where the object stands in the config, for error messages.
 * @param what What the options belong to, for example `AdamW`; names the owner in unknown-option errors.
 * @throws {ConfigError} At the first fault: path, rule, value received, nearest known name.
 */
export function parseOptions<T extends z.ZodObject>(
  schema: T,
  input: unknown,
  path: string,
  what = "",
): z.output<T> {
  if (input === null || typeof input !== "object" || Array.isArray(input)) {
    throw new ConfigError(path, `must be an object, received ${show(input)}`);
  }
  const canonical = canonicalKeys(input as Record<string, unknown>, schema, path, what);
  const result = schema.safeParse(canonical, { reportInput: true });
  if (result.success) return result.data;
  throw fault(result.error.issues[0], input, path);
}

/** `T_max` -> `tMax`, `weight_decay` -> `weightDecay`; camelCase stays. */
export function camel(name: string): string {
  const joined = name.replaceAll(/_+([A-Za-z0-9])/g, (_, c: string) => c.toUpperCase());
  return joined.charAt(0).toLowerCase() + joined.slice(1);
}

/** A copy of `input` with the schema's spelling of every key, in nested sections too. */
function canonicalKeys(
  input: Record<string, unknown>,
  schema: z.ZodObject,
  path: string,
  what: string,
): Record<string, unknown> {
  const known = Object.keys(schema.shape);
  const isOpen = !(schema.def.catchall instanceof z.ZodNever);
  const byCamel = new Map(known.map((key) => [camel(key), key]));
  const out: Record<string, unknown> = Object.create(null);
  const spelt = new Map<string, string>();
  for (const key of Object.keys(input)) {
    const name = known.includes(key) ? key : byCamel.get(camel(key)) ?? (isOpen ? key : undefined);
    if (name === undefined) {
      const owner = what === "" ? "" : ` for ${what}`;
      throw new ConfigError(
        join(path, key),
        `unknown option ${show(key)}${owner}${suggest(key, known)}`,
      );
    }
    const value = input[key];
    if (value === undefined) continue;
    const earlier = spelt.get(name);
    if (earlier !== undefined) {
      throw new ConfigError(
        join(path, key),
        `is the same option as ${show(earlier)}; give one of them, received both`,
      );
    }
    spelt.set(name, key);
    const section = objectSchema(schema.shape[name] as z.ZodType | undefined);
    out[name] = section !== undefined && isPlainObject(value)
      ? canonicalKeys(value, section, join(path, key), what)
      : value;
  }
  return out;
}

/** The schema behind defaults and optionals. */
export function unwrapped(schema: unknown): z.ZodType {
  let current = schema;
  while (
    current instanceof z.ZodOptional || current instanceof z.ZodDefault ||
    current instanceof z.ZodNullable ||
    current instanceof z.ZodPrefault
  ) current = current.unwrap();
  return current as z.ZodType;
}

/** The object schema behind defaults, optionals and alternatives, if there is one. */
export function objectSchema(schema: unknown): z.ZodObject | undefined {
  const current = unwrapped(schema);
  if (current instanceof z.ZodObject) return current;
  if (!(current instanceof z.ZodUnion)) return undefined;
  const objects = current.options.map(objectSchema).filter((option) => option !== undefined);
  return objects.length === 1 ? objects[0] : undefined;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** A zod issue as a ConfigError; of alternatives, the one that matched furthest speaks. */
function fault(issue: z.core.$ZodIssue, input: unknown, path: string): ConfigError {
  const keys = asSpelt(issue.path, input);
  const at = keys.reduce<string>((p, key) => join(p, key), path);
  if (issue.code === "invalid_union") {
    const deeper = issue.errors.flat().find((inner) => inner.path.length > 0);
    const value = keys.reduce((v, key) => (v as Record<PropertyKey, unknown>)[key], input);
    if (deeper !== undefined) return fault(deeper, value, at);
  }
  // A rule over several options says itself what it received.
  if (issue.message.includes(", received ")) return new ConfigError(at, issue.message);
  if (issue.input === undefined) return new ConfigError(at, `is required: ${issue.message}`);
  return new ConfigError(at, `${issue.message}, received ${show(issue.input)}`);
}

/** The keys of a path as the input spells them. */
function asSpelt(keys: readonly PropertyKey[], input: unknown): PropertyKey[] {
  let value = input;
  return keys.map((key) => {
    if (!isPlainObject(value) && !Array.isArray(value)) return key;
    const own = Object.hasOwn(value, key)
      ? key
      : Object.keys(value).find((k) => camel(k) === camel(String(key))) ?? key;
    value = (value as Record<PropertyKey, unknown>)[own];
    return own;
  });
}

/** `a.b` or `a[0]`. */
export function join(path: string, key: PropertyKey): string {
  if (typeof key === "number") return `${path}[${key}]`;
  return path === "" ? String(key) : `${path}.${String(key)}`;
}
