/** What a side of the shared memory says of a unit's state, beside the values of its slots. */
import type { Arena } from "./arena.ts";
import type { UnitPlace } from "./layout.ts";

/** The state of a unit. */
export interface UnitState {
  /** The slots that have been made; the others hold nothing yet. */
  readonly made: readonly string[];
  readonly numbers: Readonly<Record<string, number>>;
}

/** The state on the side at `side`; undefined if there is none. */
export function readUnit(
  { doubles }: Arena,
  side: number,
  place: UnitPlace,
): UnitState | undefined {
  const at = (side + place.numbersAt) / 8;
  const mark = doubles[at];
  if (mark === 0) return undefined;
  const numbers = place.numbers.map((name, i) => [name, doubles[at + 1 + i]] as const);
  return { made: madeSlots(place, mark), numbers: Object.fromEntries(numbers) };
}

/** Writes the state, or that there is none, to the side at `side`. */
export function writeUnit(
  { doubles }: Arena,
  side: number,
  place: UnitPlace,
  state: UnitState | undefined,
): void {
  const at = (side + place.numbersAt) / 8;
  doubles[at] = state === undefined ? 0 : markOf(place, state.made);
  place.numbers.forEach((name, i) => doubles[at + 1 + i] = state?.numbers[name] ?? 0);
}

/** Says whether there is state (0: none), and which of its slots have been made. */
function markOf({ slots }: UnitPlace, made: readonly string[]): number {
  return Object.keys(slots).reduce(
    (mark, name, i) => made.includes(name) ? mark + 2 ** (i + 1) : mark,
    1,
  );
}

function madeSlots({ slots }: UnitPlace, mark: number): string[] {
  return Object.keys(slots).filter((_, i) => Math.floor(mark / 2 ** (i + 1)) % 2 === 1);
}
