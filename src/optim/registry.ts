/** Optimizer types by name. */
import { Registry } from "../core/registry.ts";
import type * as tf from "../tensor/tf.ts";
import { adam } from "./adam.ts";
import { adamw } from "./adamw.ts";
import type { Optimizer } from "./optimizer.ts";
import type { OptimizerRule } from "./rule.ts";
import { sgd } from "./sgd.ts";

/** Makes an optimizer from its options: a function, or a class with this constructor. */
export type OptimizerFactory =
  | ((
    params: Readonly<Record<string, unknown>>,
    parameters?: Readonly<Record<string, tf.Variable>>,
  ) => Optimizer)
  | (new (
    params: Readonly<Record<string, unknown>>,
    parameters?: Readonly<Record<string, tf.Variable>>,
  ) => Optimizer);

const registry: Registry<OptimizerRule | OptimizerFactory> = new Registry("optimizer");

for (const rule of [sgd, adam, adamw]) {
  registry.register(rule.name, rule, [`torch.optim.${rule.name}`]);
}

/**
 * Makes `name` usable as an optimizer's `type`.
 *
 * @param entry A rule, which gets groups, options checks and state from the engine, or a factory
 * that returns an {@link Optimizer} of its own.
 */
export function registerOptimizer(
  name: string,
  entry: OptimizerRule | OptimizerFactory,
  aliases: readonly string[] = [],
): void {
  registry.register(name, entry, aliases);
}

/** The entry called `name`, in any case. */
export function findOptimizer(name: string, path: string): OptimizerRule | OptimizerFactory {
  return registry.get(name, path);
}

/** The canonical names, sorted. */
export function optimizerNames(): string[] {
  return registry.names();
}
