/**
 * What one optimizer type is: its options, its state, and one update of the parameters it is given.
 *
 * Groups, state, names, saving and loading are the engine's (`optimizer.ts`), the same for all.
 */
import type { z } from "../core/options.ts";
import type { Update } from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";

/** A tensor kept for each parameter, for example `exp_avg`. */
export interface Slot<O = Record<string, unknown>> {
  /** Whether these options and this parameter need it; it is made when they first do. Default: always. */
  when?(options: O, parameter: tf.Tensor): boolean;
  /** Its first value, in a fresh or shared tensor. Default: zeros like the parameter. */
  initial?(options: O, parameter: tf.Tensor): tf.Tensor;
}

/** What an optimizer keeps for one parameter. */
export interface ParameterState {
  /** Host numbers, for example `step`; a rule changes them in place. */
  readonly numbers: Record<string, number>;
  readonly slots: Record<string, tf.Variable>;
}

/** A parameter with its gradient. */
export interface GradientEntry {
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
}

/** One parameter in one update. */
export interface UpdateEntry extends GradientEntry {
  readonly state: ParameterState;
  /** The slots made for this update: they hold their first value. */
  readonly created: ReadonlySet<string>;
  /** The group's learning rate as it was built, before any scheduler. */
  readonly baseLr: number;
}

/** A regular expression with its place in the config. */
export interface Pattern {
  readonly regex: RegExp;
  readonly path: string;
}

/** Some of a group's parameters, trained by a rule and options of their own. */
export interface Share {
  /** What it holds, for the summary. */
  readonly label: string;
  readonly rule: OptimizerRule;
  readonly options: Readonly<Record<string, unknown>>;
  /** Whether it takes a parameter, given all names of the variable. */
  takes(names: readonly string[], parameter: tf.Tensor): boolean;
  /** Regular expressions of the config that must match a name each. */
  readonly patterns?: readonly Pattern[];
}

/** Weights for evaluation that differ from those trained (Schedule-Free); new tensors. */
export interface EvaluationWeights {
  /** The evaluation value of a parameter that holds the training value. */
  average(parameter: tf.Tensor, state: ParameterState, options: Record<string, unknown>): tf.Tensor;
  /** The training value of a parameter that holds the evaluation value. */
  raw(parameter: tf.Tensor, state: ParameterState, options: Record<string, unknown>): tf.Tensor;
}

/** What of the model an update must see together: elements one by one, a parameter, or all of them. */
export type UpdateScope = "element" | "parameter" | "model";

/** What the update of one parameter depends on beside its tensors. */
export type PlanEntry = Pick<UpdateEntry, "options" | "created" | "baseLr"> & {
  /** Those of the parameter, which the plan advances. */
  readonly numbers: Record<string, number>;
};

/** An update of one parameter that is an expression. */
export interface UpdatePlan {
  readonly update: Update;
  readonly scalars: Record<string, number>;
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
  /**
   * Scalars on the device that all parameters of this type share (Prodigy's `d`), with their first
   * values; state dicts keep them in the groups.
   */
  readonly shared?: Readonly<Record<string, (options: Record<string, unknown>) => number>>;
  /** What must be the same in all groups of this type, because one update has one of it. */
  whole?(options: Record<string, unknown>): Readonly<Record<string, unknown>>;
  /** What is wrong with training this parameter, in words that follow its name. */
  refuses?(parameter: tf.Tensor, options: Record<string, unknown>): string | undefined;
  /** Divides a group; the first share that takes a parameter has it, the last must take all. */
  divide?(options: Record<string, unknown>): readonly Share[] | undefined;
  /** Moves parameters to where the update's gradient is taken (SAM); the engine moves them back. */
  perturb?(entries: readonly GradientEntry[]): void;
  readonly evaluation?: EvaluationWeights;
  /** Whether {@link step} leaves parameters and slots as they are where a guard is not finite. */
  readonly obeysGuards?: boolean;
  /**
   * What {@link step} must see together under these options: `"model"` if it makes one number of all
   * its parameters. Default: that where the rule has `shared` or `whole`, otherwise `"parameter"`.
   */
  scope?(options: Record<string, unknown>): UpdateScope;
  /** What {@link step} does to one parameter, where the scope is `"element"`. */
  plan?(entry: PlanEntry): UpdatePlan;
  /** One update of all parameters of this type that have a gradient. */
  step(entries: readonly UpdateEntry[], shared: Readonly<Record<string, tf.Variable>>): void;
}

/** The scope of a rule's updates under these options. */
export function scopeOf(rule: OptimizerRule, options: Record<string, unknown>): UpdateScope {
  const all = rule.shared !== undefined || rule.whole !== undefined;
  return rule.scope?.(options) ?? (all ? "model" : "parameter");
}

/** The gradient times the scale, for rules that work on tensors; call inside tidy. */
export function scaledGradient({ gradient, scale }: GradientEntry): tf.Tensor {
  return scale === undefined || scale === 1 ? gradient : tf.mul(gradient, scale);
}
