/**
 * Optimizer types whose update is an elementwise expression.
 *
 * The expression may depend on yes-or-no questions about the options (its form), never on their
 * values: those enter as scalars. So one form is compiled once, whatever a scheduler does to the
 * learning rate.
 */
import type { z } from "../core/options.ts";
import {
  applyUpdate,
  applyUpdates,
  evaluate,
  type Operands,
  type UpdateTask,
} from "../fuse/apply.ts";
import type { Expression, Update } from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { total } from "./clip.ts";
import type { EvaluationWeights, OptimizerRule, PlanEntry, Slot } from "./rule.ts";

/** What the scalars of an update may depend on beside options and numbers. */
export interface ScalarContext {
  /** Whether a slot was made for this update. */
  isNew(slot: string): boolean;
  /** The group's learning rate as it was built. */
  readonly baseLr: number;
}

/** Scalars that need a pass over the tensors first: means of expressions, and what is made of them. */
export interface Measure {
  /** The mean over the tensor of each expression of old values. */
  readonly means: Readonly<Record<string, Expression>>;
  /** Scalars of the update, on the device; called in a tidy. */
  scalars(
    means: Record<string, tf.Scalar>,
    scalars: Record<string, number>,
  ): Record<string, tf.Scalar>;
}

/** An optimizer type as its file writes it; `O` are its options, `F` the questions. */
export interface ElementwiseSpec<
  O extends Record<string, unknown>,
  F extends Record<string, boolean>,
> {
  readonly name: string;
  readonly options: z.ZodObject & { readonly _zod: { readonly output: O } };
  readonly slots?: Readonly<Record<string, Slot<O>>>;
  readonly numbers?: (options: O) => Record<string, number>;
  readonly form: (options: O) => F;
  /** The scalars of one update of one parameter, in double precision; advances `numbers`. */
  readonly scalars: (
    options: O,
    numbers: Record<string, number>,
    context: ScalarContext,
  ) => Record<string, number>;
  readonly measure?: (form: F) => Measure | undefined;
  readonly update: (form: F) => Update;
  readonly evaluation?: EvaluationWeights;
}

/** The rule of an elementwise optimizer. */
export function elementwise<O extends Record<string, unknown>, F extends Record<string, boolean>>(
  spec: ElementwiseSpec<O, F>,
): OptimizerRule {
  const programs = new Map<string, { update: Update; measure?: Measure }>();
  const programOf = (options: O) => {
    const form = spec.form(options);
    let key = "";
    for (const question in form) key += form[question] ? "1" : "0";
    let program = programs.get(key);
    if (program === undefined) {
      program = { update: spec.update(form), measure: spec.measure?.(form) };
      programs.set(key, program);
    }
    return program;
  };
  const scalarsOf = (
    { options, created, baseLr }: Omit<PlanEntry, "numbers">,
    numbers: Record<string, number>,
  ) => {
    const context = { isNew: (slot: string) => created.has(slot), baseLr };
    return spec.scalars(options as O, numbers, context);
  };
  return {
    name: spec.name,
    options: spec.options,
    slots: (spec.slots ?? {}) as Record<string, Slot>,
    obeysGuards: true,
    numbers: (options) => spec.numbers?.(options as O) ?? {},
    evaluation: spec.evaluation,
    scope: (options) => programOf(options as O).measure === undefined ? "element" : "parameter",
    plan(entry) {
      const { update } = programOf(entry.options as O);
      return { update, scalars: scalarsOf(entry, entry.numbers) };
    },
    step(entries) {
      const plain: UpdateTask[] = [];
      for (const entry of entries) {
        const { param, gradient, scale, guard, options, state } = entry;
        const scalars = scalarsOf(entry, state.numbers);
        const operands = { param, gradient, scale, guard, slots: state.slots, scalars };
        const { update, measure } = programOf(options as O);
        if (measure === undefined) plain.push({ update, operands });
        else applyMeasured(update, measure, { ...operands, scalars });
      }
      applyUpdates(plain);
    },
  };
}

/** Takes the means, then updates. */
function applyMeasured(
  update: Update,
  { means, scalars: measured }: Measure,
  operands: Operands & { readonly scalars: Record<string, number> },
): void {
  tf.tidy(() => {
    const { param, scalars } = operands;
    const taken = Object.entries(means).map(([name, expression]) => {
      const values = evaluate(expression, operands);
      return [name, tf.div(total([values]), Math.max(param.size, 1)) as tf.Scalar];
    });
    const more = measured(Object.fromEntries(taken), scalars);
    applyUpdate(update, { ...operands, scalars: { ...scalars, ...more } });
  });
}
