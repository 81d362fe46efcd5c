/** Optimizers from plain objects. */
import { readComponent, readPlainComponent } from "../core/component.ts";
import { ConfigError, show } from "../core/errors.ts";
import {
  above,
  anyObject,
  atLeast,
  camel,
  flag,
  integer,
  join,
  object,
  parseOptions,
  z,
} from "../core/options.ts";
import { make } from "../core/registry.ts";
import * as tf from "../tensor/tf.ts";
import {
  type Grouping,
  groupPlan,
  type GroupRule,
  type LayerDecay,
  type NoDecay,
  readPatterns,
  type TrainedBy,
} from "./groups.ts";
import { Lbfgs } from "./lbfgs.ts";
import { Optimizer } from "./optimizer.ts";
import { readParams, withoutIgnored } from "./params.ts";
import { findOptimizer, type OptimizerEntry, type OptimizerFactory } from "./registry.ts";
import type { OptimizerRule } from "./rule.ts";
import { type OptimizerWrapper, wrapRule } from "./wrapper.ts";

export type { GroupPlan } from "./optimizer.ts";
export { singleGroup } from "./params.ts";

/** A regular expression or its source, or several. */
export type Patterns = string | RegExp | readonly (string | RegExp)[];

/** One group: whom it holds, and options beside it that differ, another optimizer, or `freeze`. */
export type GroupConfig = {
  readonly match?: Patterns;
  readonly where?: { readonly maxRank: number };
  readonly optimizer?: OptimizerTypeConfig;
  readonly freeze?: boolean;
} & Readonly<Record<string, unknown>>;

/** A type with its options. */
export interface OptimizerTypeConfig {
  /** A registered name, or in a program the rule, function or class itself. */
  readonly type: string | OptimizerEntry;
  /** In torch spelling or camelCase. @default {} */
  readonly params?: Readonly<Record<string, unknown>>;
}

/** What {@link buildOptimizer} reads. */
export interface OptimizerConfig extends OptimizerTypeConfig {
  /** Ordered rules; the first that matches a parameter has it, the rest is the last group. */
  readonly groups?: readonly GroupConfig[];
  /** Parameters without weight decay; `auto`: rank < 2, or a name that ends in bias or contains norm. @default "none" */
  readonly noDecay?: "auto" | "none" | Patterns;
  /** lr of layer i times max(minScale, rate^(last - i)); `depthOf` captures i in the name. */
  readonly layerDecay?: {
    readonly rate: number;
    readonly depthOf: Patterns;
    readonly minScale?: number;
  };
}

/** BasicTS' spelling. */
export interface BasicOptimizerConfig {
  readonly TYPE: string | OptimizerEntry;
  readonly PARAM?: Readonly<Record<string, unknown>>;
}

const whereSchema = object({ maxRank: integer(0) });

const layerDecaySchema = object({
  rate: above(0),
  depthOf: z.unknown().optional(),
  minScale: atLeast(0).default(0),
});

const settingsSchema = object({
  groups: z.array(z.unknown(), { error: "must be an array" }).default([]),
  noDecay: z.unknown().default("none"),
  layerDecay: anyObject().optional(),
});

const groupSchema = object({
  match: z.unknown().optional(),
  where: z.unknown().optional(),
  optimizer: z.unknown().optional(),
  freeze: flag().optional(),
});

/**
 * Builds an optimizer.
 *
 * @param config `{ type, params, groups?, noDecay?, layerDecay? }` or `{ TYPE, PARAM }`; never changed.
 * @param parameters Variables by name; left out, those of the first update are adopted.
 * @param path Where the config stands, for errors.
 * @throws {ConfigError} For an unknown name or option, a value out of range, a pattern that matches
 * no parameter, or when nothing is left to train.
 *
 * @example
 * ```ts
 * import { buildOptimizer, selectBackend, tf } from "downhill";
 *
 * await selectBackend("cpu");
 * const parameters = {
 *   "embed.weight": tf.variable(tf.ones([4, 2])),
 *   "frozen.weight": tf.variable(tf.ones([2, 2])),
 *   "head.bias": tf.variable(tf.zeros([2])),
 * };
 * const optimizer = buildOptimizer({
 *   type: "AdamW",
 *   params: { lr: 1e-3, weight_decay: 0.05 },
 *   groups: [{ match: "^embed\\.", lr: 1e-4 }, { match: "^frozen\\.", freeze: true }],
 *   noDecay: "auto",
 * }, parameters);
 * console.log(optimizer.summary());
 * ```
 */
export function buildOptimizer(
  config: OptimizerConfig | BasicOptimizerConfig,
  parameters?: Readonly<Record<string, tf.Variable>>,
  path = "optimizer",
): Optimizer {
  const { type, typePath, params, paramsPath, rest } = readComponent(config, path);
  const settings = parseOptions(settingsSchema, rest, path);
  const entry = findOptimizer(type, typePath);
  if (typeof entry === "function") {
    refuseGroups(entry, settings, path);
    return fromFactory(entry, params, parameters, typePath);
  }
  const base = { ...readTrained(entry, params, paramsPath), ownDecay: false };
  const grouping: Grouping = {
    base,
    path,
    rules: settings.groups.map((group, i) => readGroup(group, base, `${path}.groups[${i}]`)),
    noDecay: readNoDecay(settings.noDecay, base, join(path, "noDecay")),
    layerDecay: readLayerDecay(settings.layerDecay, join(path, "layerDecay")),
  };
  return new Optimizer(groupPlan(grouping), parameters, { type: entry.name, params, ...rest });
}

/** An optimizer of a factory makes its groups itself; settings that say so as well are accepted. */
function refuseGroups(
  entry: OptimizerFactory,
  { groups, noDecay, layerDecay }: z.output<typeof settingsSchema>,
  path: string,
): void {
  const given = {
    groups: groups.length > 0,
    noDecay: noDecay !== "none",
    layerDecay: layerDecay !== undefined,
  };
  const key = Object.entries(given).find(([, isGiven]) => isGiven)?.[0];
  if (key === undefined) return;
  throw new ConfigError(
    join(path, key),
    (entry as unknown) === Lbfgs
      ? "has no meaning for LBFGS, which takes one group, as torch's does"
      : "has no meaning for an optimizer made by a factory, which makes its own groups",
  );
}

/** The rule of `entry` with checked options; a wrapper's base is among its params. */
function readTrained(
  entry: OptimizerRule | OptimizerWrapper,
  params: Readonly<Record<string, unknown>>,
  path: string,
): { rule: OptimizerRule; options: Record<string, unknown> } {
  if ("step" in entry) return { rule: entry, options: readParams(entry, params, path) };
  const { optimizer, base_optimizer, baseOptimizer, ...rest } = params;
  const given = optimizer ?? base_optimizer ?? baseOptimizer;
  if (given === undefined) {
    throw new ConfigError(
      join(path, "optimizer"),
      `is required: the optimizer that ${entry.name} steps with`,
    );
  }
  const names = new Map(
    Object.keys(entry.options.shape).map((name) => [camel(name), name]),
  );
  for (const [short, name] of Object.entries(entry.aliases ?? {})) names.set(short, name);
  const own: Record<string, unknown> = {};
  const others: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(rest)) {
    const name = names.get(camel(key));
    if (name === undefined) others[key] = value;
    else if (Object.hasOwn(own, name)) {
      throw new ConfigError(join(path, key), `is the same option as ${show(name)}, received both`);
    } else own[name] = value;
  }
  if (typeof given === "string") {
    // The base's options lie beside the wrapper's own.
    const base = ruleOf(findOptimizer(given, join(path, "optimizer")), join(path, "optimizer"));
    const rule = wrapRule(entry, base);
    return { rule, options: readParams(rule, { ...others, ...own }, path) };
  }
  const inner = readPlainComponent(given, join(path, "optimizer"));
  const baseEntry = findOptimizer(inner.type, inner.typePath);
  if (typeof baseEntry === "function") throw needsRule(inner.typePath);
  const base = readTrained(baseEntry, inner.params, inner.paramsPath);
  const ownOptions = parseOptions(entry.options, { ...own, ...others }, path, entry.name);
  return { rule: wrapRule(entry, base.rule), options: { ...base.options, ...ownOptions } };
}

function ruleOf(entry: OptimizerEntry, path: string): OptimizerRule {
  if (typeof entry === "object" && "step" in entry) return entry;
  throw needsRule(path);
}

const needsRule = (path: string): ConfigError =>
  new ConfigError(path, "must be an optimizer with a rule");

function fromFactory(
  factory: OptimizerFactory,
  params: Readonly<Record<string, unknown>>,
  parameters: Readonly<Record<string, tf.Variable>> | undefined,
  path: string,
): Optimizer {
  const made: unknown = make(factory, params, parameters);
  // tf.Optimizer answers instanceof for anything with its methods, so the groups are looked for.
  if (made === null || typeof made !== "object" || !("paramGroups" in made)) {
    throw new ConfigError(path, `must make an Optimizer, received ${show(made)}`);
  }
  return made as Optimizer;
}

function readGroup(group: unknown, base: TrainedBy, path: string): GroupRule {
  if (group === null || typeof group !== "object" || Array.isArray(group)) {
    throw new ConfigError(path, `must be an object, received ${show(group)}`);
  }
  const own: Record<string, unknown> = {};
  const overrides = new Map<string, unknown>();
  for (const [key, value] of Object.entries(group)) {
    if (Object.hasOwn(groupSchema.shape, key)) own[key] = value;
    else if (value !== undefined) overrides.set(key, value);
  }
  const { match, where, optimizer, freeze } = parseOptions(groupSchema, own, path);
  if (match === undefined && where === undefined) {
    throw new ConfigError(path, `must have match or where, received ${show(group)}`);
  }
  const patterns = match === undefined ? [] : readPatterns(match, join(path, "match"));
  const maxRank = where === undefined
    ? undefined
    : parseOptions(whereSchema, where, join(path, "where")).maxRank;
  if (freeze && optimizer !== undefined) overrides.set("optimizer", optimizer);
  const [extra] = overrides.keys();
  if (extra !== undefined && (freeze || optimizer !== undefined)) {
    throw new ConfigError(
      join(path, extra),
      freeze ? "has no meaning in a frozen group" : "belongs into the group's optimizer.params",
    );
  }
  const trained = freeze
    ? undefined
    : optimizer === undefined
    ? override(base, Object.fromEntries(overrides), path)
    : readGroupOptimizer(optimizer, join(path, "optimizer"));
  return { patterns, maxRank, trained };
}

function readGroupOptimizer(config: unknown, path: string): TrainedBy {
  const { type, typePath, params, paramsPath } = readPlainComponent(config, path);
  const entry = findOptimizer(type, typePath);
  if (typeof entry === "function") throw needsRule(typePath);
  return { ...readTrained(entry, params, paramsPath), ownDecay: setsDecay(params) };
}

/** The base options with some of them replaced, checked together by the same schema. */
function override(
  base: TrainedBy,
  overrides: Readonly<Record<string, unknown>>,
  path: string,
): TrainedBy {
  const given = withoutIgnored(overrides, base.rule);
  const replaced = new Set(Object.keys(given).map(camel));
  const kept = Object.entries(base.options).filter(([key]) => !replaced.has(camel(key)));
  const merged = Object.fromEntries([...kept, ...Object.entries(given)]);
  const options = parseOptions(base.rule.options, merged, path, base.rule.name);
  return { rule: base.rule, options, ownDecay: setsDecay(given) };
}

function setsDecay(params: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(params).some((key) => camel(key) === "weightDecay");
}

function readNoDecay(value: unknown, base: TrainedBy, path: string): NoDecay {
  if (value === "none") return "none";
  if (!("weight_decay" in base.options)) {
    throw new ConfigError(path, `has no meaning for ${base.rule.name}, which has no weight_decay`);
  }
  if (value === "auto") return "auto";
  if (!Array.isArray(value) && !(value instanceof RegExp)) {
    throw new ConfigError(
      path,
      `must be "auto", "none" or an array of regular expressions, received ${show(value)}`,
    );
  }
  return readPatterns(value, path);
}

function readLayerDecay(value: unknown, path: string): LayerDecay | undefined {
  if (value === undefined) return undefined;
  const { rate, depthOf, minScale } = parseOptions(layerDecaySchema, value, path);
  return { rate, minScale, depthOf: readPatterns(depthOf, join(path, "depthOf")) };
}

tf.serialization.registerClass(
  Object.assign(Optimizer, {
    fromConfig: (_: unknown, config: tf.serialization.ConfigDict): Optimizer =>
      buildOptimizer(JSON.parse(String(config.name)) as OptimizerConfig),
  }) as unknown as tf.serialization.SerializableConstructor<Optimizer>,
);
