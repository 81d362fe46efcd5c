/**
 * What the Schedule-Free optimizers share (Defazio et al., 2024).
 *
 * Three sequences: z is the plain descent, x the average of z, y = b1 x + (1 - b1) z where gradients
 * are taken. The parameter holds y while training and x for evaluation; x is never stored:
 *
 *     w = t^r lr_max^weight_lr_power;   c = w / (w_1 + ... + w_t)
 *     x = (1 - c) x + c z  becomes  y = y + c (z - y) + lr (b1 (1 - c) - 1) n,  then  z = z - lr n
 *
 * where n is the normalised gradient and lr_max the largest rate so far.
 */
import { pow, powInt } from "../core/math.ts";
import { atLeast, type z } from "../core/options.ts";
import {
  addScaled,
  type Expression,
  lerp,
  mul,
  param,
  scalar,
  slot,
  sub,
  type Update,
} from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import type { EvaluationWeights, Slot } from "./rule.ts";
import { lerpTensors } from "./terms.ts";

/** The options of the weights of the average. */
export const averageOptions: {
  r: z.ZodDefault<z.ZodNumber>;
  weight_lr_power: z.ZodDefault<z.ZodNumber>;
} = {
  r: atLeast(0).default(0),
  weight_lr_power: atLeast(0).default(2),
};

/** The slot z starts at the parameter. */
export const zSlot: Slot = { initial: (_, p) => tf.clone(p) };

/** The host numbers of one parameter. */
export const averageNumbers = (): Record<string, number> => ({
  step: 0,
  weight_sum: 0,
  lr_max: 0,
});

/** Counts the step and gives the scalars of {@link averagedUpdate} for the rate `lr`. */
export function averageScalars(
  o: { r: number; weight_lr_power: number },
  numbers: Record<string, number>,
  lr: number,
  beta1: number,
): Record<string, number> {
  const lrMax = numbers.lr_max = Math.max(numbers.lr_max, lr);
  const weight = pow(numbers.step, o.r) * pow(lrMax, o.weight_lr_power);
  const sum = numbers.weight_sum += weight;
  const c = sum === 0 ? 0 : weight / sum;
  return { lr, c, y_step: lr * (beta1 * (1 - c) - 1) };
}

/** The new y and z for the normalised gradient `n`. */
export function averagedUpdate(n: Expression): Required<Update> {
  const z = slot("z");
  return {
    param: addScaled(lerp(param, z, scalar("c")), n, scalar("y_step")),
    slots: { z: sub(z, mul(scalar("lr"), n)) },
  };
}

/** x = lerp(y, z, 1 - 1 / b1) and back. */
export function evaluationWeights(
  beta1: (options: Record<string, unknown>) => number,
): EvaluationWeights {
  return {
    average: (y, { slots }, o) => lerpTensors(y, slots.z, 1 - 1 / beta1(o)),
    raw: (x, { slots }, o) => lerpTensors(x, slots.z, 1 - beta1(o)),
  };
}

/** lr min(1, t / warmup_steps), after counting the step. */
export function warmedUp(
  o: { lr: number; warmup_steps: number },
  numbers: Record<string, number>,
): number {
  const step = ++numbers.step;
  return o.warmup_steps === 0 ? o.lr : o.lr * Math.min(1, step / o.warmup_steps);
}

/** The scalars of an Adam-like second moment. */
export function momentScalars(beta2: number, step: number): Record<string, number> {
  return { keep2: beta2, take2: 1 - beta2, correction2: 1 - powInt(beta2, step) };
}
