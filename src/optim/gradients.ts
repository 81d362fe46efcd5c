/** Which gradient belongs to which parameter. */
import { ConfigError, show, suggest } from "../core/errors.ts";
import type { NamedParameters } from "../tensor/parameters.ts";
import * as tf from "../tensor/tf.ts";

/** A gradient with its name, as tfjs passes them; without a tensor it is skipped. */
export interface NamedGradient {
  readonly name: string;
  readonly tensor?: tf.Tensor | null;
}

/** Gradients by name, or tfjs' list; an absent, null or undefined gradient is skipped. */
export type Gradients =
  | Readonly<Record<string, tf.Tensor | null | undefined>>
  | readonly NamedGradient[];

/** The entries of either form, absent tensors included. */
export function gradientEntries(gradients: Gradients): [string, tf.Tensor | undefined][] {
  return Array.isArray(gradients)
    ? gradients.map(({ name, tensor }) => [name, tensor ?? undefined])
    : Object.keys(gradients).map((
      name,
    ) => [name, (gradients as Record<string, tf.Tensor | null | undefined>)[name] ?? undefined]);
}

/**
 * The gradients by the parameters' first names.
 *
 * All names are read as names given to the builder, or else all as the variables' own names.
 *
 * @throws {ConfigError} For an unknown name, a mixture of both kinds, a shape that is not the
 * variable's, or two different gradients for one variable.
 */
export function resolveGradients(
  gradients: Gradients,
  parameters: NamedParameters,
): Map<string, tf.Tensor> {
  const entries = gradientEntries(gradients);
  const { variables, given, own } = parameters;
  const table = [given, own].find((names) => entries.every(([name]) => names.has(name)));
  if (table === undefined) throw wrongNames(entries.map(([name]) => name), parameters);
  const resolved = new Map<string, tf.Tensor>();
  for (const [name, gradient] of entries) {
    if (gradient === undefined) continue;
    const first = table.get(name)!;
    const variable = variables.get(first)!;
    if (!(gradient instanceof tf.Tensor)) {
      throw new ConfigError(`gradients.${name}`, `must be a tensor, received ${show(gradient)}`);
    }
    if (!sameShape(gradient.shape, variable.shape)) {
      throw new ConfigError(
        `gradients.${name}`,
        `must have the shape of its variable, [${variable.shape}], received [${gradient.shape}]`,
      );
    }
    const earlier = resolved.get(first);
    if (earlier !== undefined && earlier !== gradient) {
      throw new ConfigError(`gradients.${name}`, `is a second gradient of ${show(first)}`);
    }
    resolved.set(first, gradient);
  }
  return resolved;
}

function wrongNames(names: string[], { given, own }: NamedParameters): ConfigError {
  const unknown = names.find((name) => !given.has(name) && !own.has(name));
  if (unknown !== undefined) {
    return new ConfigError(
      `gradients.${unknown}`,
      `is no parameter of this optimizer${suggest(unknown, [...given.keys()])}`,
    );
  }
  const ownOnly = names.find((name) => !given.has(name));
  const givenOnly = names.find((name) => !own.has(name));
  return new ConfigError(
    "gradients",
    "names must all be the names given to buildOptimizer or all be the variables' own, " +
      `received ${show(givenOnly)} of the first kind and ${show(ownOnly)} of the second`,
  );
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
