/** Lookahead: slow weights that follow fast ones (Zhang et al., 2019). */
import { between, integer, object, type z } from "../core/options.ts";
import { applyUpdate } from "../fuse/apply.ts";
import { addScaled, param, scalar, slot, sub, type Update } from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import type { OptimizerRule } from "./rule.ts";
import type { OptimizerWrapper } from "./wrapper.ts";

const options = object({
  lookahead_k: integer(1).default(5),
  lookahead_alpha: between(0, 1).default(0.5),
});

const moved = addScaled(slot("slow_buffer"), sub(param, slot("slow_buffer")), scalar("alpha"));
const sync: Update = { param: moved, slots: { slow_buffer: moved } };

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
        const { lookahead_k, lookahead_alpha: alpha } = o as z.output<typeof options>;
        if (++state.numbers.lookahead_step % lookahead_k !== 0) continue;
        applyUpdate(sync, { param, gradient, guard, slots: state.slots, scalars: { alpha } });
      }
    },
  }),
};
