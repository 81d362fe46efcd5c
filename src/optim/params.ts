/** Options of a rule from plain params. */
import { parseOptions } from "../core/options.ts";
import { groupPlan, type TrainedBy } from "./groups.ts";
import type { GroupPlan } from "./optimizer.ts";
import type { OptimizerRule } from "./rule.ts";
import { ignoredOptions } from "./state_dict.ts";

/** The options of `rule` with defaults; torch's implementation switches are dropped with a note. */
export function readParams(
  rule: OptimizerRule,
  params: Readonly<Record<string, unknown>>,
  path: string,
): Record<string, unknown> {
  return parseOptions(rule.options, withoutIgnored(params, rule), path, rule.name);
}

let noted = false;

/** Drops what torch uses to choose an implementation, with one note a process. */
export function withoutIgnored(
  params: Readonly<Record<string, unknown>>,
  rule: OptimizerRule,
): Record<string, unknown> {
  const entries = Object.entries(params);
  const kept = entries.filter(([key]) =>
    !ignoredOptions.includes(key) || Object.hasOwn(rule.options.shape, key)
  );
  if (kept.length < entries.length && !noted) {
    noted = true;
    console.warn(`note: optimizer options ${ignoredOptions.join(", ")} have no effect here`);
  }
  return Object.fromEntries(kept);
}

/** The plan with all parameters in one group, for a class of one's own that extends `Optimizer`. */
export function singleGroup(
  rule: OptimizerRule,
  params: Readonly<Record<string, unknown>>,
  path = "optimizer.params",
): GroupPlan {
  const base: TrainedBy = { rule, options: readParams(rule, params, path), ownDecay: false };
  return groupPlan({ base, rules: [], noDecay: "none", path: "optimizer" });
}
