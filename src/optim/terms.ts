/**
 * Pieces that many update rules share: the sign of maximize, the two kinds of weight decay, and the
 * cautious variants.
 *
 * Cautious masking (Liang et al., 2024; mean as in timm): u = u [u g > 0] / max(mean [u g > 0], 1e-3).
 * Cautious weight decay (Chen et al., 2025): only elements with u p >= 0 decay.
 * Corrected weight decay (Defazio, 2025): weight_decay lr^2 / lr_max takes the place of
 * weight_decay lr, where lr_max is the group's `max_lr` (OneCycleLR and CyclicLR set it) or the rate
 * it was built with.
 */
import { flag, type z } from "../core/options.ts";
import {
  addScaled,
  type Expression,
  ge,
  gradient,
  gt,
  mul,
  neg,
  param,
  scalar,
  select,
  sign,
} from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import type { Measure } from "./elementwise.ts";

/** The option of cautious masking; off and absent if left out. */
export const cautiousOption: { cautious: z.ZodOptional<z.ZodBoolean> } = {
  cautious: flag().optional(),
};

/** The variants of decoupled weight decay; off and absent if left out. */
export const decayOptions: {
  cautious_weight_decay: z.ZodOptional<z.ZodBoolean>;
  corrected_weight_decay: z.ZodOptional<z.ZodBoolean>;
} = {
  cautious_weight_decay: flag().optional(),
  corrected_weight_decay: flag().optional(),
};

/** Refinement: the variants of decoupled weight decay need it to be on. */
export const needsDecoupled: [
  (o: {
    decoupled_weight_decay: boolean;
    cautious_weight_decay?: boolean;
    corrected_weight_decay?: boolean;
  }) => boolean,
  { path: string[]; error: string },
] = [
  (o) => o.decoupled_weight_decay || !(o.cautious_weight_decay || o.corrected_weight_decay),
  {
    path: ["decoupled_weight_decay"],
    error: "must be true for cautious_weight_decay and corrected_weight_decay, received false",
  },
];

/** What decoupled weight decay reads of the options. */
export interface DecayValues {
  readonly lr: number;
  readonly weight_decay: number;
  readonly corrected_weight_decay?: boolean;
  readonly max_lr?: unknown;
}

/** The gradient, negated for maximize. */
export const ascent = (maximize: boolean): Expression => maximize ? neg(gradient) : gradient;

/** g + weight_decay p, or g. */
export const withL2 = (g: Expression, on: boolean): Expression =>
  on ? addScaled(g, param, scalar("weight_decay")) : g;

/** p * shrink, or p; cautious: only where the update `u` (of which p loses a multiple) shrinks p too. */
export function decayed(on: boolean, cautious = false, u: Expression = param): Expression {
  if (!on) return param;
  const shrunk = mul(param, scalar("shrink"));
  return cautious ? select(ge(mul(sign(u), sign(param)), 0), shrunk, param) : shrunk;
}

/** 1 - lr weight_decay: the factor of decoupled decay. */
export function shrinkOf(o: DecayValues, baseLr: number): number {
  return 1 - o.weight_decay * decayRate(o, baseLr);
}

/** What weight_decay is multiplied by: lr, or lr^2 / lr_max. */
function decayRate(o: DecayValues, baseLr: number): number {
  if (!o.corrected_weight_decay) return o.lr;
  const peak = typeof o.max_lr === "number" ? o.max_lr : baseLr;
  return peak === 0 ? 0 : o.lr * o.lr / peak;
}

/** u where it has the sign of g, scaled up for what is masked; needs {@link cautiousMeasure}. */
export const agreeing = (u: Expression, g: Expression): Expression =>
  mul(select(agrees(u, g), u, 0), scalar("unmask"));

/** The scalar `unmask` of {@link agreeing}, for the direction and the gradient. */
export const cautiousMeasure = ([u, g]: readonly Expression[]): Measure => ({
  means: { agreement: select(agrees(u, g), 1, 0) },
  scalars: ({ agreement }) => ({
    unmask: tf.div(1, tf.maximum(agreement, 1e-3)) as tf.Scalar,
  }),
});

/** The product of the signs, which cannot underflow. */
const agrees = (u: Expression, g: Expression) => gt(mul(sign(u), sign(g)), 0);

/** new = a + w (b - a) on tensors, from the nearer end as torch's `lerp`. */
export function lerpTensors(a: tf.Tensor, b: tf.Tensor, w: number): tf.Tensor {
  const distance = tf.sub(b, a);
  return Math.abs(w) < 0.5 ? tf.add(a, tf.mul(distance, w)) : tf.sub(b, tf.mul(distance, 1 - w));
}
