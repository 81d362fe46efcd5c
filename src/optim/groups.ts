/**
 * Parameter groups from plain rules.
 *
 * Each parameter belongs to the first rule that matches it, what is left to the last group. A group
 * is then split by the optimizer type itself if it does so (Muon's `aux`), by layer (`layerDecay`),
 * and each part into parameters with and without decay (`noDecay`); parts without parameters vanish.
 */
import { ConfigError, show } from "../core/errors.ts";
import { powInt } from "../core/math.ts";
import { join } from "../core/options.ts";
import type { NamedParameters } from "../tensor/parameters.ts";
import type * as tf from "../tensor/tf.ts";
import type { GroupPlan, GroupSpec } from "./optimizer.ts";
import type { OptimizerRule, Pattern } from "./rule.ts";

/** One checked rule. */
export interface GroupRule {
  /** Any of them matches; none: every name. */
  readonly patterns: readonly Pattern[];
  /** Only parameters of at most this rank. */
  readonly maxRank?: number;
  /** What trains the group; undefined: nothing, it is frozen. */
  readonly trained?: TrainedBy;
}

/** A type with its options. */
export interface TrainedBy {
  readonly rule: OptimizerRule;
  readonly options: Readonly<Record<string, unknown>>;
  /** The group sets its weight decay itself, so `noDecay` leaves it alone. */
  readonly ownDecay: boolean;
}

/** Which parameters do not decay. */
export type NoDecay = "auto" | "none" | readonly Pattern[];

/** scale = max(minScale, rate^(last - depth)), where depth is the number in the name. */
export interface LayerDecay {
  readonly rate: number;
  readonly minScale: number;
  readonly depthOf: readonly Pattern[];
}

/** All of it, checked. */
export interface Grouping {
  readonly rules: readonly GroupRule[];
  /** What trains the rest. */
  readonly base: TrainedBy;
  readonly noDecay: NoDecay;
  readonly layerDecay?: LayerDecay;
  /** Where the optimizer stands in the config. */
  readonly path: string;
}

/** One part of a group while it is divided. */
interface Part {
  readonly rule: OptimizerRule;
  readonly options: Readonly<Record<string, unknown>>;
  readonly ownDecay: boolean;
  readonly label: string;
  readonly names: string[];
}

/** The plan that divides parameters by `grouping`. */
export function groupPlan(grouping: Grouping): GroupPlan {
  return (parameters) => {
    const whole = { ...grouping.base, label: "all" };
    if (parameters === undefined) return [{ ...whole, names: [] }];
    checkPatterns(grouping, [...parameters.given.keys()]);
    const { variables } = parameters;
    return divide(grouping, parameters)
      .flatMap((part) => splitByShare(part, parameters))
      .flatMap((part) => splitByLayer(part, grouping.layerDecay, [...variables.keys()]))
      .flatMap((part) => splitByDecay(part, grouping.noDecay, variables))
      .filter(({ names }) => names.length > 0)
      .map(({ rule, options, names, label }): GroupSpec => ({ rule, options, names, label }));
  };
}

/** First match wins; the rest is the last part. */
function divide({ rules, base, path }: Grouping, parameters: NamedParameters): Part[] {
  const parts = rules.map((rule) => ({ ...rule, label: labelOf(rule), names: [] as string[] }));
  const rest: string[] = [];
  for (const [name, variable] of parameters.variables) {
    if (variable.trainable === false) continue;
    const part = parts.find((rule) => matches(rule, name, variable));
    (part?.names ?? rest).push(name);
  }
  const trained = parts.flatMap(({ trained, label, names }) =>
    trained === undefined ? [] : [{ ...trained, label, names }]
  );
  const label = rules.length === 0 ? "all" : "rest";
  const all = [...trained, { ...base, label, names: rest }];
  if (all.every(({ names }) => names.length === 0)) {
    throw new ConfigError(path, "has nothing to train: every parameter is frozen");
  }
  return all;
}

function matches({ patterns, maxRank }: GroupRule, name: string, variable: tf.Variable): boolean {
  return (patterns.length === 0 || patterns.some(({ regex }) => name.search(regex) >= 0)) &&
    (maxRank === undefined || variable.rank <= maxRank);
}

function labelOf({ patterns, maxRank }: GroupRule): string {
  const words = patterns.map(({ regex }) => regex.source);
  if (maxRank !== undefined) words.push(`rank <= ${maxRank}`);
  return words.join(", ");
}

function splitByLayer(part: Part, decay: LayerDecay | undefined, all: string[]): Part[] {
  if (decay === undefined) return [part];
  const depths = all.map((name) => depthOf(name, decay.depthOf));
  const last = depths.reduce<number>((most, depth) => Math.max(most, depth ?? 0), 0);
  const byDepth = new Map<number | undefined, string[]>();
  for (const name of part.names) {
    const depth = depthOf(name, decay.depthOf);
    byDepth.set(depth, [...byDepth.get(depth) ?? [], name]);
  }
  const order = [...byDepth.keys()].sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
  return order.map((depth) => {
    const names = byDepth.get(depth)!;
    if (depth === undefined) return { ...part, names };
    const scale = Math.max(decay.minScale, powInt(decay.rate, last - depth));
    const options = { ...part.options, lr: part.options.lr as number * scale };
    return { ...part, names, options, label: `${part.label}; layer ${depth}` };
  });
}

/** The number that the first matching pattern captures. */
function depthOf(name: string, patterns: readonly Pattern[]): number | undefined {
  for (const { regex, path } of patterns) {
    const found = regex.exec(name);
    if (found === null) continue;
    const depth = Number(found[1]);
    if (found[1] === undefined || !Number.isInteger(depth)) {
      throw new ConfigError(
        path,
        `must capture a layer number, for example 'layers\\.(\\d+)\\.', in ${show(name)}`,
      );
    }
    return depth;
  }
  return undefined;
}

/** What the rule itself gives to other rules or options (Muon's `aux`). */
function splitByShare(part: Part, { variables, given }: NamedParameters): Part[] {
  const shares = part.rule.divide?.(part.options);
  if (shares === undefined) return [part];
  const parts = shares.map(({ label, rule, options }) => ({
    ...part,
    rule,
    options,
    label: `${part.label}; ${label}`,
    names: [] as string[],
  }));
  checkEach(shares.flatMap(({ patterns = [] }) => patterns), [...given.keys()]);
  for (const name of part.names) {
    const all = [...given].filter(([, first]) => first === name).map(([other]) => other);
    const share = shares.findIndex(({ takes }) => takes(all, variables.get(name)!));
    parts[share].names.push(name);
  }
  return parts;
}

function splitByDecay(
  part: Part,
  noDecay: NoDecay,
  variables: ReadonlyMap<string, tf.Variable>,
): Part[] {
  if (noDecay === "none" || part.ownDecay || !("weight_decay" in part.options)) return [part];
  const spared = (name: string) =>
    noDecay === "auto"
      ? variables.get(name)!.rank < 2 || /bias$|norm/i.test(name)
      : noDecay.some(({ regex }) => name.search(regex) >= 0);
  return [
    { ...part, names: part.names.filter((name) => !spared(name)) },
    {
      ...part,
      names: part.names.filter(spared),
      options: { ...part.options, weight_decay: 0 },
      label: `${part.label}; no decay`,
    },
  ];
}

/** A pattern that matches no name at all is a misspelling. */
function checkPatterns({ rules, noDecay, layerDecay }: Grouping, names: string[]): void {
  const patterns = [
    ...rules.flatMap((rule) => rule.patterns),
    ...(typeof noDecay === "string" ? [] : noDecay),
    ...(layerDecay?.depthOf ?? []),
  ];
  checkEach(patterns, names);
}

function checkEach(patterns: readonly Pattern[], names: string[]): void {
  for (const { regex, path } of patterns) {
    if (names.some((name) => name.search(regex) >= 0)) continue;
    throw new ConfigError(
      path,
      `matches no parameter name, received ${show(regex.source)}; names: ${
        names.slice(0, 8).join(", ")
      }${names.length > 8 ? ", ..." : ""}`,
    );
  }
}

/** A pattern or a list of them: regular expressions, or their source. */
export function readPatterns(value: unknown, path: string): Pattern[] {
  if (!Array.isArray(value)) return [readPattern(value, path)];
  if (value.length === 0) throw new ConfigError(path, "must hold at least one regular expression");
  return value.map((item, i) => readPattern(item, join(path, i)));
}

function readPattern(value: unknown, path: string): Pattern {
  const rule = `must be a regular expression, received ${show(value)}`;
  try {
    if (value instanceof RegExp) {
      return { path, regex: new RegExp(value.source, value.flags.replaceAll(/[gy]/g, "")) };
    }
    if (typeof value === "string" && value !== "") return { path, regex: new RegExp(value) };
  } catch (error) {
    throw new ConfigError(path, `${rule} (${(error as Error).message})`);
  }
  throw new ConfigError(path, rule);
}
