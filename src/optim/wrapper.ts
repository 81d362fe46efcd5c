/**
 * Optimizer types around another one: its options, slots and step, with something added.
 *
 * The options of both lie side by side in the groups, so that schedulers and group rules reach the
 * inner `lr` as they do without a wrapper.
 */
import type { z } from "../core/options.ts";
import type { OptimizerRule } from "./rule.ts";

/** A type that is given a base optimizer: `{ type, params: { optimizer, ...options } }`. */
export interface OptimizerWrapper {
  readonly name: string;
  /** Its own options, whose names no base optimizer may have. */
  readonly options: z.ZodObject;
  /** Shorter names of its options, for `params` only. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** What it adds to the base or replaces. */
  extend(base: OptimizerRule): Partial<OptimizerRule>;
}

const known = new Map<OptimizerWrapper, WeakMap<OptimizerRule, OptimizerRule>>();

/** The rule of `wrapper` around `base`; the same object for the same pair. */
export function wrapRule(wrapper: OptimizerWrapper, base: OptimizerRule): OptimizerRule {
  let rules = known.get(wrapper);
  if (rules === undefined) known.set(wrapper, rules = new WeakMap());
  let rule = rules.get(base);
  if (rule === undefined) {
    const names = Object.keys(wrapper.options.shape);
    rule = {
      ...base,
      name: `${wrapper.name}(${base.name})`,
      options: base.options.safeExtend(wrapper.options.shape) as z.ZodObject,
      ...wrapper.extend(base),
      // What the base gives to other rules is wrapped as well.
      divide: base.divide === undefined ? undefined : (options) => {
        const own = Object.fromEntries(names.map((name) => [name, options[name]]));
        return base.divide!(options)?.map((share) => ({
          ...share,
          rule: wrapRule(wrapper, share.rule),
          options: { ...share.options, ...own },
        }));
      },
    };
    rules.set(base, rule);
  }
  return rule;
}
