/** Resilient backpropagation without backtracking (Riedmiller and Braun, 1993), as `torch.optim.Rprop`. */
import { above, atLeast, flag, number, object, pair, z } from "../core/options.ts";
import {
  gt,
  lt,
  max,
  min,
  mul,
  param,
  scalar,
  select,
  sign,
  slot,
  sub,
} from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import { ascent } from "./terms.ts";

const rule = "must be a number in (0, 1)";

const options = object({
  lr: atLeast(0).default(1e-2),
  etas: pair(z.number({ error: rule }).gt(0, { error: rule }).lt(1, { error: rule }), above(1))
    .default([0.5, 1.2]),
  step_sizes: pair(number(), number()).default([1e-6, 50]),
  maximize: flag().default(false),
});

/**
 *     s = sign(g g');   step = clamp(step * (s > 0 ? eta+ : s < 0 ? eta- : 1), step_sizes)
 *     s < 0:  g = 0;    p = p - sign(g) step;   g' = g
 *
 * The rate is the first step size; later changes of it, by a scheduler too, have no effect.
 */
export const rprop: OptimizerRule = elementwise<z.output<typeof options>, { maximize: boolean }>({
  name: "Rprop",
  options,
  slots: {
    prev: {},
    step_size: { initial: (o, p) => tf.fill(p.shape, o.lr, "float32") },
  },
  numbers: () => ({ step: 0 }),
  form: (o) => ({ maximize: o.maximize }),
  scalars(o, numbers) {
    numbers.step++;
    return { shrink: o.etas[0], grow: o.etas[1], least: o.step_sizes[0], most: o.step_sizes[1] };
  },
  update({ maximize }) {
    const g = ascent(maximize);
    const s = mul(sign(g), sign(slot("prev")));
    const factor = select(gt(s, 0), scalar("grow"), select(lt(s, 0), scalar("shrink"), 1));
    const step = min(max(mul(slot("step_size"), factor), scalar("least")), scalar("most"));
    const kept = select(lt(s, 0), 0, g);
    return {
      param: sub(param, mul(sign(kept), step)),
      slots: { prev: kept, step_size: step },
    };
  },
});
