/**
 * What one optimizer type is: its options, its state, and one update of the parameters it is given.
 *
 * Groups, state, names, saving and loading are the engine's (`optimizer.ts`), the same for all.
 */
import type { z } from "../core/options.ts";
import * as tf from "../tensor/tf.ts";

/** A tensor kept for each parameter, for example `exp_avg`. */
export interface Slot<O = Record<string, unknown>> {
  /** Whether these options need it; it is made when they first do. Default: always. */
  when?(options: O): boolean;
  /** Its first value, in a fresh or shared tensor. Default: zeros like the parameter. */
  initial?(options: O, parameter: tf.Tensor): tf.Tensor;
}

/** What an optimizer keeps for one parameter. */
export interface ParameterState {
  /** Host numbers, for example `step`; a rule changes them in place. */
  readonly numbers: Record<string, number>;
  readonly slots: Record<string, tf.Variable>;
}

/** One parameter in one update. */
export interface UpdateEntry {
  readonly name: string;
  readonly param: tf.Variable;
  /** Never disposed, never kept. */
  readonly gradient: tf.Tensor;
  /** Multiplies the gradient before anything else; see {@link scaledGradient}. */
  readonly scale?: number | tf.Scalar;
  /** The update happens only if every element of this tensor is finite. */
  readonly guard?: tf.Tensor;
  /** The live group: its options as they are now. */
  readonly options: Record<string, unknown>;
  readonly state: ParameterState;
  /** The slots made for this update: they hold their first value. */
  readonly created: ReadonlySet<string>;
}

/** One optimizer type. */
export interface OptimizerRule {
  /** The canonical name. */
  readonly name: string;
  /** Options in torch's spelling; `lr` is one of them. */
  readonly options: z.ZodObject;
  /** Every slot that any options may need. */
  readonly slots: Readonly<Record<string, Slot>>;
  /** The host numbers of a new parameter, for example `{ step: 0 }`. */
  numbers?(options: Record<string, unknown>): Record<string, number>;
  /** Whether {@link step} leaves parameters and slots as they are where a guard is not finite. */
  readonly obeysGuards?: boolean;
  /** One update of all parameters of this type that have a gradient. */
  step(entries: readonly UpdateEntry[]): void;
}

/** The gradient times the scale, for rules that work on tensors; call inside tidy. */
export function scaledGradient({ gradient, scale }: UpdateEntry): tf.Tensor {
  return scale === undefined || scale === 1 ? gradient : tf.mul(gradient, scale);
}
