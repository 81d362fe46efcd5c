/**
 * Optimizer types whose update is an elementwise expression.
 *
 * The expression may depend on yes-or-no questions about the options (its form), never on their
 * values: those enter as scalars. So one form is compiled once, whatever a scheduler does to the
 * learning rate.
 */
import type { z } from "../core/options.ts";
import { applyUpdates } from "../fuse/apply.ts";
import type { Update } from "../fuse/expression.ts";
import type { OptimizerRule, Slot } from "./rule.ts";

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
    isNew: (slot: string) => boolean,
  ) => Record<string, number>;
  readonly update: (form: F) => Update;
}

/** The rule of an elementwise optimizer. */
export function elementwise<O extends Record<string, unknown>, F extends Record<string, boolean>>(
  spec: ElementwiseSpec<O, F>,
): OptimizerRule {
  const updates = new Map<string, Update>();
  const updateOf = (options: O): Update => {
    const form = spec.form(options);
    let key = "";
    for (const question in form) key += form[question] ? "1" : "0";
    let update = updates.get(key);
    if (update === undefined) updates.set(key, update = spec.update(form));
    return update;
  };
  return {
    name: spec.name,
    options: spec.options,
    slots: spec.slots ?? {},
    obeysGuards: true,
    numbers: (options) => spec.numbers?.(options as O) ?? {},
    step(entries) {
      applyUpdates(entries.map(({ param, gradient, scale, guard, options, state, created }) => {
        const o = options as O;
        const scalars = spec.scalars(o, state.numbers, (slot) => created.has(slot));
        const operands = { param, gradient, scale, guard, slots: state.slots, scalars };
        return { update: updateOf(o), operands };
      }));
    },
  };
}
