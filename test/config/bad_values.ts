/** Wrong configs made from a JSON schema: every leaf with every kind of value that it refuses. */
import { z } from "../../src/core/options.ts";

/** The part of JSON schema that zod writes. */
export interface JsonSchema {
  readonly type?: string;
  readonly properties?: Record<string, JsonSchema>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
  readonly items?: JsonSchema | false;
  readonly prefixItems?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly allOf?: readonly { readonly pattern: string }[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
  readonly default?: unknown;
}

/** A path into a config: keys and indices. */
export type KeyPath = readonly (string | number)[];

/** One fault. */
export type Fault =
  | {
    readonly kind: "value";
    readonly path: KeyPath;
    readonly value: unknown;
    /** The tuple around the value, at the path but its last key. */
    readonly tuple?: readonly unknown[];
  }
  | { readonly kind: "missing"; readonly path: KeyPath }
  /** `path` ends in the misspelt key; `meant` is the right one. */
  | { readonly kind: "misspelt"; readonly path: KeyPath; readonly meant: string };

/** The JSON schema of options; what JSON has no type for (functions, typed arrays) is `{}`. */
export function jsonSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
}

const POOL: readonly unknown[] = [
  null,
  NaN,
  Infinity,
  -1,
  0.5,
  2 ** 60,
  true,
  "",
  "no such value",
  {},
  [],
];

/** A few of each kind, where many components share the same rules. */
export const FEW: readonly unknown[] = [null, NaN, "no such value", {}];

/** Every fault that `schema` must refuse, at `path` and below; values out of range beside those of `pool`. */
export function* faults(
  schema: JsonSchema,
  pool: readonly unknown[] = POOL,
  path: KeyPath = [],
): Generator<Fault> {
  const options = alternatives(schema);
  if (path.length > 0) {
    const tried = new Set([...pool, ...options.flatMap(edges)]);
    for (const value of tried) {
      if (!options.some((option) => accepts(option, value))) yield { kind: "value", path, value };
    }
  }
  for (const option of options) {
    for (const [key, part] of Object.entries(option.properties ?? {})) {
      // An object with `update` or `name` is a metric or callback of a program.
      if (option.additionalProperties !== false && ["update", "name"].includes(key)) continue;
      yield* faults(part, pool, [...path, key]);
      // What a single letter was meant to be cannot be told.
      if (key.length > 1) yield { kind: "misspelt", path: [...path, misspell(key)], meant: key };
      if (option.required?.includes(key)) yield { kind: "missing", path: [...path, key] };
    }
    if (option.items) yield* faults(option.items, pool, [...path, 0]);
    for (const [i, part] of (option.prefixItems ?? []).entries()) {
      const tuple = sample(option) as unknown[];
      for (const fault of faults(part, pool, [...path, i])) yield { ...fault, tuple } as Fault;
    }
  }
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  return schema.anyOf?.flatMap(alternatives) ?? [schema];
}

/** Values just outside the range. */
function edges({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): unknown[] {
  const outside = [
    ...(minimum === undefined ? [] : [minimum - 1]),
    ...(maximum === undefined ? [] : [maximum + Math.max(1, maximum * Number.EPSILON)]),
    exclusiveMinimum,
    exclusiveMaximum,
  ];
  return outside.filter((value) => value !== undefined);
}

function accepts(schema: JsonSchema, value: unknown): boolean {
  if (schema.const !== undefined) return value === schema.const;
  if (schema.enum !== undefined) return schema.enum.includes(value);
  switch (schema.type) {
    case undefined: // A function or a typed array.
      return typeof value === "function" || Array.isArray(value);
    case "null":
      return value === null;
    case "boolean":
      return typeof value === "boolean";
    case "string":
      return typeof value === "string" && value.length >= (schema.minLength ?? 0) &&
        (schema.allOf ?? []).every(({ pattern }) => new RegExp(pattern).test(value));
    case "array":
      return Array.isArray(value) && value.length >= (schema.minItems ?? 0);
    case "object":
      return value !== null && typeof value === "object" && !Array.isArray(value);
    default:
      return typeof value === "number" && Number.isFinite(value) &&
        (schema.type === "number" || Number.isInteger(value)) &&
        value >= (schema.minimum ?? -Infinity) && value <= (schema.maximum ?? Infinity) &&
        value > (schema.exclusiveMinimum ?? -Infinity) &&
        value < (schema.exclusiveMaximum ?? Infinity);
  }
}

/** Two neighbouring letters swapped, or the last one doubled. */
function misspell(key: string): string {
  const at = [...key].findIndex((letter, i) => i > 0 && letter !== key[i - 1]);
  const swapped = key.slice(0, at - 1) + key[at] + key[at - 1] + key.slice(at + 1);
  return at < 1 || swapped[0] === "_" ? key + key[key.length - 1] : swapped;
}

/** A valid value: the required options of an object, the lowest number, the first choice. */
export function sample(schema: JsonSchema): unknown {
  if (schema.default !== undefined) return schema.default;
  if (schema.anyOf !== undefined) return sample(schema.anyOf[0]);
  if (schema.enum !== undefined) return schema.enum[0];
  switch (schema.type) {
    case "object":
      return Object.fromEntries(
        (schema.required ?? []).map((key) => [key, sample(schema.properties?.[key] ?? {})]),
      );
    case "array":
      return schema.prefixItems?.map((item) => sample(item)) ?? [sample(schema.items || {})];
    case "string":
      return "text";
    case "boolean":
      return false;
    default:
      return Math.max(1, schema.minimum ?? 1);
  }
}

/** A copy of `config` with the fault in it; everything on the way is made an object or array. */
export function withFault(config: unknown, fault: Fault): unknown {
  if (fault.kind !== "value") return change(config, fault.path, 1, fault.kind === "missing");
  const { path, value, tuple } = fault;
  if (tuple === undefined) return change(config, path, value, false);
  return change(
    config,
    path.slice(0, -1),
    tuple.map((item, i) => i === path.at(-1) ? value : item),
    false,
  );
}

function change(config: unknown, path: KeyPath, value: unknown, drop: boolean): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const copy: Record<string | number, unknown> = Array.isArray(config)
    ? [...config] as never
    : typeof config === "object" && config !== null
    ? { ...config }
    : typeof key === "number"
    ? [] as never
    : {};
  if (rest.length > 0) copy[key] = change(copy[key], rest, value, drop);
  else if (drop) delete copy[key];
  else copy[key] = value;
  return copy;
}

/** `a.b[0]`. */
export function dotted(path: KeyPath): string {
  return path.map((key, i) => typeof key === "number" ? `[${key}]` : i === 0 ? key : `.${key}`)
    .join("");
}

/** Freezes everything but typed arrays, which cannot be. */
export function deepFreeze<T>(value: T): T {
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}
