/** Time stamps as UTC milliseconds, and the calendar features models are given of them. */
import { DataError } from "../core/errors.ts";

/** A calendar feature. */
export type TimeFeature = "timeOfDay" | "dayOfWeek" | "dayOfMonth" | "dayOfYear" | "monthOfYear";

/** The known features, in the order of their documentation. */
export const timeFeatureNames: readonly [TimeFeature, ...TimeFeature[]] = [
  "timeOfDay",
  "dayOfWeek",
  "dayOfMonth",
  "dayOfYear",
  "monthOfYear",
];

/** Milliseconds of a day. */
const DAY = 86_400_000;

/**
 * position / period, in [0, 1), of time stamps (milliseconds since 1970, UTC).
 *
 *     timeOfDay    time since midnight / 1 day
 *     dayOfWeek    0 (Monday) .. 6, / 7
 *     dayOfMonth   0 .. 30, / 31
 *     dayOfYear    0 .. 365, / 366
 *     monthOfYear  0 .. 11, / 12
 *
 * @returns [times, features], row-major.
 */
export function calendarFeatures(
  times: Float64Array,
  features: readonly TimeFeature[],
): Float32Array {
  const out = new Float32Array(times.length * features.length);
  for (let i = 0; i < times.length; i++) {
    const date = new Date(times[i]);
    for (let f = 0; f < features.length; f++) {
      out[i * features.length + f] = position[features[f]](times[i], date);
    }
  }
  return out;
}

const position: Record<TimeFeature, (time: number, date: Date) => number> = {
  timeOfDay: (time) => (time - Math.floor(time / DAY) * DAY) / DAY,
  dayOfWeek: (_, date) => (date.getUTCDay() + 6) % 7 / 7,
  dayOfMonth: (_, date) => (date.getUTCDate() - 1) / 31,
  dayOfYear: (time, date) =>
    (Math.floor(time / DAY) - Date.UTC(date.getUTCFullYear(), 0) / DAY) / 366,
  monthOfYear: (_, date) => date.getUTCMonth() / 12,
};

/** The longest step back of a clock that is changed, with room for half-hour zones. */
const CLOCK_CHANGE = 2 * 3_600_000;

/**
 * Refuses times that do not go forward: windows would mix rows of other times. A step back of up to
 * two hours, as local clocks make in autumn, is let pass.
 *
 * @param lines Where the rows stand in the file `name`; rows count from 0 where there is none.
 * @throws {DataError} With the first row that is out of order.
 */
export function requireOrder(times: Float64Array, name: string, lines?: Int32Array): void {
  let latest = -Infinity;
  for (let i = 0; i < times.length; i++) {
    const back = latest - times[i];
    if (back > CLOCK_CHANGE || (back > 0 && i === times.length - 1 && times[i] < times[0])) {
      const place = lines === undefined ? `${name}: row ${i}` : `${name}:${lines[i]}`;
      throw new DataError(
        `${place}: must be in order of time, received ${new Date(times[i]).toISOString()} ` +
          `after ${new Date(latest).toISOString()}`,
      );
    }
    latest = Math.max(latest, times[i]);
  }
}

const stamp =
  /^(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?)?)?$/i;

/**
 * Milliseconds since 1970 of an ISO 8601 date or time (`2016-07-01`, `2016/7/1 13:00`,
 * `2016-07-01T13:00:00.5+02:00`, `2016-07`), UTC where no zone is given; NaN for any other text and
 * for days that the calendar does not have.
 */
export function parseTime(text: string): number {
  const match = stamp.exec(text.trim());
  if (match === null) return NaN;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part, i) =>
    part === undefined ? (i < 3 ? 1 : 0) : Number(part)
  );
  const time = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(time);
  if (
    date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 ||
    date.getUTCDate() !== day || minute > 59 || second > 59 || hour > 23
  ) return NaN;
  const fraction = match[7] === undefined ? 0 : Number(`0.${match[7]}`) * 1000;
  return time + fraction - offset(match[8]);
}

/** The milliseconds that a zone (`Z`, `UTC`, `+02:00`) is ahead of UTC. */
function offset(zone: string | undefined): number {
  if (zone === undefined || !/^[+-]/.test(zone)) return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2));
  return (zone[0] === "-" ? -minutes : minutes) * 60_000;
}
