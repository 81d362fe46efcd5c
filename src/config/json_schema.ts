/**
 * The JSON schema of a run config, for editors and for checks outside the library.
 *
 * It is derived from the schemas that check a config, so that both say the same: keys in every
 * spelling, rules as descriptions, and for every registered type the options it takes. What only a
 * program can give (a class, a function) is left out, and any name is accepted as a type, since a
 * user's modules register more. Rules between several keys are the library's alone.
 */
import { above, atLeast, camel, either, integer, list, object, text, z } from "../core/options.ts";
import type { Registered } from "../core/registry.ts";
import { registeredDatasets } from "../data/registry.ts";
import { registeredLosses } from "../loss/registry.ts";
import { registeredMetrics } from "../metric/registry.ts";
import { registeredModels } from "../model/registry.ts";
import { findOptimizer, registeredOptimizers } from "../optim/registry.ts";
import { ignoredOptions } from "../optim/state_dict.ts";
import { registeredCallbacks } from "../runner/callbacks/registry.ts";
import { findScheduler, isRule, registeredSchedulers } from "../schedule/registry.ts";
import { registeredTasks } from "../task/registry.ts";
import { runConfigSchema } from "./schema.ts";

/** A JSON schema, draft 7. */
export type JsonSchema = { [key: string]: unknown };

/**
 * The JSON schema of a run config, with everything that is registered now.
 *
 * @example
 * ```ts
 * import { strict as assert } from "node:assert";
 * import { configSchema } from "downhill";
 * import "downhill/models";
 *
 * const { properties } = configSchema() as { properties: Record<string, unknown> };
 * assert("batchSize" in (properties.train as { properties: object }).properties);
 * ```
 */
export function configSchema(): JsonSchema {
  const named: JsonSchema = {};
  const kind = (name: string, entries: readonly Registered[], more: ComponentKeys = {}) => {
    named[name] = componentSchema(name, entries, more, named);
    return { $ref: `#/definitions/${name}` };
  };
  const orName = (name: string, entries: readonly Registered[]): JsonSchema => ({
    anyOf: [
      { enum: entries.map(({ name }) => name) },
      { type: "string", minLength: 1 },
      kind(name, entries),
    ],
  });
  kind("optimizerType", registeredOptimizers(), { params: optimizerParams });
  const callback = orName("callback", registeredCallbacks());
  const metric = orName("metric", registeredMetrics());
  const scheduler = { $ref: "#/definitions/scheduler" };
  const config = fromZod(runConfigSchema, {
    model: kind("model", registeredModels()),
    data: kind("data", registeredDatasets()),
    task: orName("task", registeredTasks()),
    loss: orName("loss", registeredLosses()),
    metrics: { type: "array", items: metric },
    callbacks: { type: "array", items: callback },
    optimizer: kind("optimizer", registeredOptimizers(), {
      keys: groupKeys(),
      params: optimizerParams,
    }),
    scheduler: kind("scheduler", registeredSchedulers(), {
      keys: partKeys(scheduler),
      params: schedulerParams,
      lacks: misplacedKeys,
      needs: compositeKeys,
    }),
    "train.clipGrad": { $ref: "#/definitions/callback.ClipGradients" },
    earlyStopping: { $ref: "#/definitions/callback.EarlyStopping" },
  });
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Downhill run config",
    ...config,
    definitions: named,
  };
}

/** How one kind of component differs from `{ type, params }`. */
interface ComponentKeys {
  /** Further keys. */
  readonly keys?: JsonSchema;
  /** The schema of a type's params. Default: its options. */
  params?(entry: Registered): JsonSchema | undefined;
  /** Keys that have no meaning for a type. */
  lacks?(entry: Registered): readonly string[];
  /** Keys that must stand beside a type or in its params. */
  needs?(entry: Registered): readonly string[];
}

/** `{ type, params, ... }`, or one of BasicTS' spellings; params by type go to `named`. */
function componentSchema(
  name: string,
  entries: readonly Registered[],
  { keys = {}, params = optionsOf, lacks = () => [], needs = () => [] }: ComponentKeys,
  named: JsonSchema,
): JsonSchema {
  const byType = entries.flatMap((entry) => {
    const schema = params(entry);
    if (schema === undefined) return [];
    const key = name === "optimizer" ? "optimizerType" : name;
    const place = `${key}.${entry.name}`;
    named[place] = schema;
    const somewhere = needs(entry).map((key) => ({
      anyOf: [
        { required: [key] },
        { required: ["params"], properties: { params: { required: [key] } } },
      ],
    }));
    return [{
      if: { properties: { type: spellings(entry) }, required: ["type"] },
      then: {
        properties: {
          params: { $ref: `#/definitions/${place}` },
          ...Object.fromEntries(lacks(entry).map((key) => [key, false])),
        },
        ...(isNeeded(schema) ? { required: ["params"] } : {}),
        ...(somewhere.length === 0 ? {} : { allOf: somewhere }),
      },
    }];
  });
  const form = (typeKeys: JsonSchema, paramsKey: string, more: readonly JsonSchema[] = []) => {
    const rules = [...more, ...exclusive(Object.keys(keys))];
    return {
      properties: { ...typeKeys, [paramsKey]: { type: "object" }, ...keys },
      required: Object.keys(typeKeys),
      additionalProperties: false,
      ...(rules.length === 0 ? {} : { allOf: rules }),
    };
  };
  const type = typeNames(entries);
  return {
    type: "object",
    if: { required: ["TYPE"] },
    then: form({ TYPE: type }, "PARAM"),
    else: {
      if: { required: ["module"] },
      then: form({ name: { type: "string" }, module: { type: "string" } }, "params"),
      else: form({ type }, "params", byType),
    },
  };
}

/** How BasicTS writes a class. */
const reference: JsonSchema = {
  type: "object",
  properties: { name: { type: "string" }, module: { type: "string" } },
  required: ["name", "module"],
  additionalProperties: false,
};

/** The registered names for completion; others may be registered by a user's modules. */
function typeNames(entries: readonly Registered[]): JsonSchema {
  return {
    description: "a registered name",
    anyOf: [
      { enum: entries.map(({ name }) => name) },
      { type: "string", minLength: 1 },
      reference,
    ],
  };
}

/**
 * The names that mean an entry, its own and its aliases, as they are and in lower case: a pattern,
 * since editors would offer each word of an enum.
 */
function spellings({ name, aliases }: Registered): JsonSchema {
  const words = new Set([name, ...aliases].flatMap((word) => [word, word.toLowerCase()]));
  return { type: "string", pattern: `^(${[...words].join("|").replaceAll(".", "\\.")})$` };
}

function optionsOf({ options }: Registered): JsonSchema | undefined {
  return options === undefined ? undefined : fromZod(options);
}

/** The options, torch's implementation switches, and of a wrapper the optimizer it is put around. */
function optimizerParams(entry: Registered): JsonSchema | undefined {
  if (entry.options === undefined) return undefined;
  const schema = fromZod(entry.options);
  const found = findOptimizer(entry.name, "");
  if (typeof found === "object" && "extend" in found) {
    const base = {
      anyOf: [{ type: "string", minLength: 1 }, { $ref: "#/definitions/optimizerType" }],
    };
    const names = ["optimizer", "base_optimizer", "baseOptimizer"];
    return {
      ...schema,
      // Options of the optimizer inside may lie beside the wrapper's own.
      additionalProperties: true,
      properties: { ...schema.properties as JsonSchema, ...repeat(names, base) },
      anyOf: names.map((name) => ({ required: [name] })),
    };
  }
  return withProperties(schema, repeat(ignoredOptions, { description: "has no effect here" }));
}

/** The options, and what torch's configs carry beside them; a composite's parts may stand here. */
function schedulerParams(entry: Registered): JsonSchema | undefined {
  if (entry.options === undefined) return undefined;
  const rule = findScheduler(entry.name, "");
  const parts = isRule(rule) && rule.composite
    ? { ...partKeys({ $ref: "#/definitions/scheduler" }), monitor: false, target: false }
    : {};
  const schema = { ...fromZod(entry.options) };
  // Milestones of a composite usually stand beside its params.
  if (Object.keys(parts).length > 0) delete schema.required;
  return withProperties(schema, {
    ...parts,
    last_epoch: { const: -1 },
    lastEpoch: { const: -1 },
    verbose: {},
  });
}

/** What a composite is made of, and may stand in its params. */
function compositeKeys({ name, options }: Registered): readonly string[] {
  const rule = findScheduler(name, "");
  if (!isRule(rule) || !rule.composite) return [];
  return ["schedulers", ...Object.keys(options!.shape).filter((key) => key === "milestones")];
}

/** Keys that have no meaning for a scheduler type. */
function misplacedKeys({ name }: Registered): readonly string[] {
  const rule = findScheduler(name, "");
  if (!isRule(rule)) return [];
  return [
    ...(rule.composite ? [] : ["schedulers", "milestones"]),
    ...(rule.monitored ? [] : ["monitor"]),
  ];
}

/** The keys of an optimizer beside type and params. */
function groupKeys(): JsonSchema {
  const patterns = either(
    "must be a regular expression or an array of them",
    text(),
    list(text()).min(1),
  );
  const layerDecay = fromZod(object({
    rate: above(0),
    depthOf: patterns,
    minScale: atLeast(0).default(0),
  }));
  const noDecay = {
    description: "parameters without weight decay; auto: vectors, biases and norms",
    anyOf: [{ enum: ["auto", "none"] }, fromZod(list(text()).min(1))],
  };
  const group = withProperties(
    fromZod(object({
      match: patterns.optional(),
      where: object({ maxRank: integer(0) }).optional(),
      freeze: z.boolean().optional(),
    })),
    { optimizer: { $ref: "#/definitions/optimizerType" } },
  );
  return {
    groups: {
      description: "ordered rules; the first that matches a parameter has it",
      type: "array",
      items: {
        ...group,
        description: "match or where, and options that differ, optimizer, or freeze",
        additionalProperties: true,
        anyOf: [{ required: ["match"] }, { required: ["where"] }],
      },
    },
    ...repeat(["noDecay", "no_decay"], noDecay),
    ...repeat(["layerDecay", "layer_decay"], layerDecay),
  };
}

/** The keys of a scheduler beside type and params. */
function partKeys(scheduler: JsonSchema): JsonSchema {
  return {
    schedulers: { description: "the parts of a composite", type: "array", items: scheduler },
    milestones: {
      description: "the steps at which a sequence goes on to its next part",
      ...fromZod(list(integer(0))),
    },
    monitor: {
      description: "the metric that a plateau follows, like val/loss",
      ...fromZod(text()),
    },
    target: { description: "the option that is scheduled; default lr", ...fromZod(text()) },
  };
}

/**
 * The JSON schema of a zod schema, its keys in every spelling.
 *
 * @param replaced Schemas by dotted path that stand for what zod only knows as an object.
 */
function fromZod(
  schema: z.ZodType,
  replaced: Readonly<Record<string, JsonSchema>> = {},
): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    target: "draft-7",
    io: "input",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const { type } = zodSchema._zod.def;
      // What a program may give has no form in JSON, unless its schema says one.
      const isCode = type === "custom" && jsonSchema.type === undefined;
      if (isCode || type === "nan") jsonSchema.not = {};
      // Where the form says less than the rule.
      const { anyOf, pattern, allOf, type: form, description } = jsonSchema;
      if (description === undefined && (anyOf ?? pattern ?? allOf ?? form === "array")) {
        jsonSchema.description = ruleOf(zodSchema);
      }
      if (jsonSchema.description === undefined) delete jsonSchema.description;
    },
  });
  return spell(json, replaced, "");
}

/** The rule of a schema in words, which is its error message. */
function ruleOf({ _zod: { def } }: z.core.$ZodType): string | undefined {
  if (def.type === "object" || def.error === undefined) return undefined;
  const rule = def.error({ code: "invalid_type", expected: "string", input: undefined } as never);
  return typeof rule === "string" ? rule : rule?.message;
}

/** Every object's keys in every spelling that is read; alternatives that JSON lacks are dropped. */
function spell(
  json: JsonSchema,
  replaced: Readonly<Record<string, JsonSchema>>,
  path: string,
): JsonSchema {
  const out: JsonSchema = { ...json };
  const inner = (value: unknown) => spell(value as JsonSchema, replaced, path);
  for (const key of ["anyOf", "allOf"] as const) {
    if (!Array.isArray(json[key])) continue;
    const options = json[key].map(inner).filter((option) => !isNever(option));
    out[key] = options;
    if (key === "anyOf" && options.length === 1) {
      delete out.anyOf;
      Object.assign(out, { ...options[0], ...out });
    }
  }
  if (Array.isArray(json.items)) out.items = json.items.map(inner);
  else if (typeof json.items === "object" && json.items !== null) out.items = inner(json.items);
  const properties = json.properties as Record<string, JsonSchema> | undefined;
  if (properties === undefined) return out;
  const required = (json.required ?? []) as string[];
  const spelt: JsonSchema = {};
  const rules: JsonSchema[] = [];
  for (const [key, value] of Object.entries(properties)) {
    const at = path === "" ? key : `${path}.${key}`;
    const names = [...new Set([key, camel(key), snake(key)])];
    const found = replaced[at];
    const described = value.description === undefined ? {} : { description: value.description };
    Object.assign(
      spelt,
      repeat(
        names,
        found === undefined ? spell(value, replaced, at) : { ...described, allOf: [found] },
      ),
    );
    if (names.length > 1 && required.includes(key)) {
      rules.push({ oneOf: names.map((name) => ({ required: [name] })) });
    } else {
      rules.push(...notTogether(names));
    }
  }
  out.properties = spelt;
  out.required = required.filter((key) => camel(key) === key && snake(key) === key);
  if ((out.required as string[]).length === 0) delete out.required;
  if (rules.length > 0) out.allOf = [...(out.allOf as JsonSchema[] | undefined) ?? [], ...rules];
  return out;
}

/** `T_max`, `tMax` -> `t_max`. */
function snake(key: string): string {
  return camel(key).replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** At most one of several spellings. */
function notTogether(names: readonly string[]): JsonSchema[] {
  const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => ({ required: [a, b] })));
  return pairs.length === 0 ? [] : [{ not: pairs.length === 1 ? pairs[0] : { anyOf: pairs } }];
}

/** The same for keys of which several are spellings of one. */
function exclusive(keys: readonly string[]): JsonSchema[] {
  return keys.flatMap((key) => notTogether(keys.filter((other) => camel(other) === key)));
}

const repeat = (names: readonly string[], schema: JsonSchema): JsonSchema =>
  Object.fromEntries(names.map((name) => [name, schema]));

const withProperties = (schema: JsonSchema, more: JsonSchema): JsonSchema => ({
  ...schema,
  properties: { ...schema.properties as JsonSchema, ...more },
});

const isNever = ({ not }: JsonSchema): boolean =>
  typeof not === "object" && not !== null && Object.keys(not).length === 0;

/** Whether an object of this schema must have a key. */
function isNeeded({ required, allOf, anyOf }: JsonSchema): boolean {
  return required !== undefined || anyOf !== undefined ||
    ((allOf ?? []) as JsonSchema[]).some(({ oneOf }) => oneOf !== undefined);
}
