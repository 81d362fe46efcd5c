/** Three parts of a series, one after the other. */
import { ConfigError, show } from "../core/errors.ts";

/** The rule for the option `split`, as errors quote it. */
export const splitRule: string =
  "must be three row counts, or three fractions with a sum of at most 1";

/**
 * The row after the training, validation and test part.
 *
 * Counts are taken as they are. Fractions are rounded down to rows; what a sum of 1 leaves over goes
 * to the validation part (or the training part, if there is no validation part).
 *
 * @param path Where `split` stands, for error messages.
 * @param name What has the rows, for error messages.
 */
export function partBounds(
  split: readonly number[],
  rows: number,
  path: string,
  name: string,
): [number, number, number] {
  const sum = split[0] + split[1] + split[2];
  const isFractions = sum <= 1 + 1e-9;
  if (split.some((n) => n < 0 || !(isFractions || Number.isInteger(n))) || sum === 0) {
    throw new ConfigError(path, `${splitRule}, received ${show(split)}`);
  }
  const parts = isFractions ? split.map((f) => Math.floor(f * rows + 1e-6)) : [...split];
  const left = rows - parts[0] - parts[1] - parts[2];
  if (left < 0) {
    throw new ConfigError(
      path,
      `needs ${rows - left} rows, ${name} has ${rows}`,
    );
  }
  if (isFractions && sum > 1 - 1e-9) parts[split[1] > 0 ? 1 : split[0] > 0 ? 0 : 2] += left;
  return [parts[0], parts[0] + parts[1], parts[0] + parts[1] + parts[2]];
}
