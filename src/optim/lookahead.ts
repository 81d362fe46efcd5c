/** Lookahead: slow weights that follow fast ones (Zhang et al., 2019). */
import { between, integer, object, type z } from "../core/options.ts";
import { applyUpdate } from "../fuse/apply.ts";
import {
  addScaled,
  type Expression,
  param,
  scalar,
  slot,
  sub,
  type Update,
} from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { type OptimizerRule, type PlanEntry, scopeOf, type UpdatePlan } from "./rule.ts";
import type { OptimizerWrapper } from "./wrapper.ts";

const options = object({
  lookahead_k: integer(1).default(5),
  lookahead_alpha: between(0, 1).default(0.5),
});

/** The base's update, if any, and then the slow weights' step to it. */
function synced({ param: fast = param, slots }: Update): Update {
  const slow = slot("slow_buffer");
  const moved: Expression = addScaled(slow, sub(fast, slow), scalar("lookahead_alpha"));
  return { param: moved, slots: { ...slots, slow_buffer: moved } };
}

const sync = synced({});

/** By the base's update. */
const syncs = new WeakMap<Update, Update>();

/**
 * After every `lookahead_k` steps of the base:  slow = slow + lookahead_alpha (p - slow);  p = slow
 *
 * The slow weights start at the weights before the first step.
 */
export const lookahead: OptimizerWrapper = {
  name: "Lookahead",
  options,
  aliases: { k: "lookahead_k", alpha: "lookahead_alpha" },
  extend: (base: OptimizerRule): Partial<OptimizerRule> => ({
    slots: { ...base.slots, slow_buffer: { initial: (_, p) => tf.clone(p) } },
    numbers: (o) => ({ ...base.numbers?.(o), lookahead_step: 0 }),
    step(entries, shared) {
      base.step(entries, shared);
      for (const { param, gradient, guard, options: o, state } of entries) {
        if (!isDue(o, state.numbers)) continue;
        const scalars = scalarsOf(o);
        applyUpdate(sync, { param, gradient, guard, slots: state.slots, scalars });
      }
    },
    scope: (o) => scopeOf(base, o),
    plan: base.plan && ((entry) => planAround(base.plan!(entry), entry)),
  }),
};

/** Both steps in one pass, where the second is due. */
function planAround(plan: UpdatePlan, { options: o, numbers }: PlanEntry): UpdatePlan {
  if (!isDue(o, numbers)) return plan;
  let update = syncs.get(plan.update);
  if (update === undefined) syncs.set(plan.update, update = synced(plan.update));
  return { update, scalars: { ...plan.scalars, ...scalarsOf(o) } };
}

const isDue = (o: Record<string, unknown>, numbers: Record<string, number>): boolean =>
  ++numbers.lookahead_step % (o as z.output<typeof options>).lookahead_k === 0;

const scalarsOf = (o: Record<string, unknown>): { lookahead_alpha: number } => ({
  lookahead_alpha: (o as z.output<typeof options>).lookahead_alpha,
});
