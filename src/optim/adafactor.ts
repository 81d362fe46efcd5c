/** Adafactor, factored second moments (Shazeer and Stern, 2018), as `torch.optim.Adafactor`. */
import { pow } from "../core/math.ts";
import { atLeast, flag, number, object, pair, type z } from "../core/options.ts";
import { applyUpdate } from "../fuse/apply.ts";
import { addScaled, gradient, mul, neg, param, scalar } from "../fuse/expression.ts";
import type { Update } from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { squaredNorm } from "./clip.ts";
import { type OptimizerRule, scaledGradient, type UpdateEntry } from "./rule.ts";
import { lerpTensors } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-2),
  beta2_decay: number().max(0, { error: "must be a number <= 0" }).default(-0.8),
  eps: pair(atLeast(0).nullable(), atLeast(0)).default([null, 1e-3]),
  d: atLeast(1).default(1),
  weight_decay: atLeast(0).default(0),
  maximize: flag().default(false),
});

/** The distance from 1 to the next float32. */
const machineEpsilon = 2 ** -23;

/** The parameter moves along `gradient`, which here is the update itself. */
const move: Update = {
  param: addScaled(mul(param, scalar("shrink")), gradient, neg(scalar("factor"))),
};

/**
 *     w = t^beta2_decay;   rho = min(lr, 1 / sqrt(t));   alpha = max(eps2, RMS(p)) rho
 *     rank >= 2:  R = lerp(R, mean(g^2, last axis), w),  C = lerp(C, mean(g^2, axis before), w),
 *                 V = R C / max(mean(R), eps1);   else  V = lerp(V, g^2, w)
 *     u = g / sqrt(max(V, eps1^2));   p = p (1 - lr weight_decay) - alpha / max(1, RMS(u) / d) u
 *
 * An eps1 of null is the machine epsilon of float32.
 */
export const adafactor: OptimizerRule = {
  name: "Adafactor",
  options,
  slots: {
    row_var: {
      when: (_, p) => p.rank >= 2,
      initial: (_, p) => tf.zeros([...p.shape.slice(0, -1), 1]),
    },
    col_var: {
      when: (_, p) => p.rank >= 2,
      initial: (_, p) => tf.zeros([...p.shape.slice(0, -2), 1, p.shape[p.rank - 1]]),
    },
    variance: { when: (_, p) => p.rank < 2 },
  },
  numbers: () => ({ step: 0 }),
  step(entries) {
    for (const entry of entries) tf.tidy(() => update(entry));
  },
};

function update(entry: UpdateEntry): void {
  const { param, state } = entry;
  const o = entry.options as z.output<typeof options>;
  const step = ++state.numbers.step;
  const eps1 = o.eps[0] ?? machineEpsilon;
  const given = scaledGradient(entry);
  const g = o.maximize ? tf.neg(given) : given;
  const rho = Math.min(o.lr, 1 / Math.sqrt(step));
  const alpha = tf.mul(tf.maximum(rms(param), o.eps[1]), rho);
  const variance = secondMoments(entry, tf.square(g), pow(step, o.beta2_decay), eps1);
  const u = tf.div(g, tf.sqrt(tf.maximum(variance, eps1 * eps1)));
  const factor = tf.div(alpha, tf.maximum(tf.div(rms(u), o.d), 1)) as tf.Scalar;
  const scalars = { shrink: 1 - o.lr * o.weight_decay, factor };
  applyUpdate(move, { param, gradient: u, slots: state.slots, scalars });
}

/** Updates the moments with weight `w` and returns their estimate for every element. */
function secondMoments(
  { param, state: { slots } }: UpdateEntry,
  square: tf.Tensor,
  w: number,
  eps1: number,
): tf.Tensor {
  const advance = (name: string, value: tf.Tensor): tf.Tensor => {
    const next = lerpTensors(slots[name], value, w);
    slots[name].assign(next);
    return next;
  };
  if (param.rank < 2) return advance("variance", square);
  const row = advance("row_var", tf.mean(square, -1, true));
  const column = advance("col_var", tf.mean(square, -2, true));
  return tf.div(tf.mul(row, column), tf.maximum(tf.mean(row, -2, true), eps1));
}

function rms(x: tf.Tensor): tf.Tensor {
  return tf.sqrt(tf.div(squaredNorm([x]), Math.max(x.size, 1)));
}
