/** Timing of variants that take turns, so that a slow moment of the machine meets all of them. */

/** Does its work a number of times and resolves to the milliseconds it took. */
export type Round = () => Promise<number>;

/**
 * Milliseconds of every round of each variant, those of one round at the same place. The order
 * turns round every time; `warmup` rounds come first and are left out.
 */
export async function alternate<K extends string>(
  variants: Readonly<Record<K, Round>>,
  rounds: number,
  warmup = 3,
): Promise<Record<K, number[]>> {
  const names = Object.keys(variants) as K[];
  const times = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    K,
    number[]
  >;
  for (let round = -warmup; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const ms = await variants[name]();
      if (round >= 0) times[name].push(ms);
    }
  }
  return times;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
