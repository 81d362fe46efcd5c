/** Options that many schedules have. */
import { ConfigError, show } from "../core/errors.ts";
import { either, integer, join, list, oneOf, z } from "../core/options.ts";

/**
 * A value for all groups, or an array of one a group. Typed as the single value, because
 * {@link groupOptions} gives a schedule the one of the group it works on.
 */
export function perGroup<T>(item: z.ZodType<T>, rule: string): z.ZodType<T> {
  return either(`${rule}, or an array of one a group`, item, list(item)) as unknown as z.ZodType<T>;
}

/**
 * A number of steps that may be left to the run: `"auto"`. Typed as a number, because
 * `resolveTotals` has replaced the word before a schedule is made.
 */
export function total(
  item: z.ZodNumber = integer(1),
  rule = "must be an integer >= 1",
): z.ZodType<number> {
  return either(`${rule}, or "auto"`, item, oneOf(["auto"])) as unknown as z.ZodType<number>;
}

/** A number in (0, 1]. */
export function unitFactor(): z.ZodNumber {
  const error = "must be a number > 0 and <= 1";
  return z.number({ error }).gt(0, { error }).max(1, { error });
}

/** A function of the step, or one a group: only in a program, since a config is data. */
export function stepFunction(): z.ZodType<(k: number) => number> {
  const rule = "must be a function of the step (in a program; a JSON config names a schedule)";
  const item = z.custom<(k: number) => number>((value) => typeof value === "function", rule);
  return perGroup(item, rule);
}

/**
 * The options of each group: those named in `keys` may be arrays of one value a group.
 *
 * @throws {ConfigError} If an array has another length than there are groups.
 */
export function groupOptions<O extends Record<string, unknown>>(
  options: O,
  keys: readonly string[],
  groups: number,
  path: string,
): O[] {
  const lists = keys.filter((key) => Array.isArray(options[key]));
  for (const key of lists) {
    const { length } = options[key] as unknown[];
    if (length !== groups) {
      throw new ConfigError(
        join(path, key),
        `must hold ${groups} values, one a group, received ${length}: ${show(options[key])}`,
      );
    }
  }
  return Array.from({ length: groups }, (_, i) => {
    const own = lists.map((key) => [key, (options[key] as unknown[])[i]]);
    return { ...options, ...Object.fromEntries(own) };
  });
}
