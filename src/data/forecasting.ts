/**
 * Sliding windows over a series of rows, split by time into training, validation and test.
 *
 * The inputs of validation and test windows may reach back into the part before, targets never do:
 * every row of a part is predicted, as in the published forecasting tables.
 */
import { ConfigError, DataError, show, suggest } from "../core/errors.ts";
import {
  either,
  flag,
  integer,
  list,
  number,
  object,
  oneOf,
  parseOptions,
  text,
  z,
} from "../core/options.ts";
import { calendarFeatures, type TimeFeature, timeFeatureNames } from "./calendar.ts";
import { readCsv } from "./csv.ts";
import type { DataContext, DataSplits } from "./dataset.ts";
import { NaiveForecast } from "./naive.ts";
import { type AffineScaler, fitScaler } from "./scaler.ts";
import { WindowDataset, type WindowSource } from "./window_dataset.ts";

export { WindowDataset } from "./window_dataset.ts";

/** The options that {@link ForecastingCsv} and {@link ForecastingArray} share. */
export interface ForecastingOptions {
  /** Rows a model sees. */
  readonly inputLength: number;
  /** Rows a model predicts; for imputation 0 (or `inputLength`), the targets being the input rows. */
  readonly outputLength?: number;
  /**
   * Training, validation and test part, one after the other: row counts, or fractions with a sum of
   * at most 1 (each rounded down; what is left of a sum of 1 goes to validation). Rows beyond are
   * ignored, a part of 0 rows is absent. @default [0.7, 0.1, 0.2]
   */
  readonly split?: readonly [number, number, number];
  /** Fitted on the training part; null for none. @default "zscore" */
  readonly scaler?: "zscore" | "minmax" | null;
  /** One scale a channel, or one for all. @default true */
  readonly perChannel?: boolean;
  /** Calendar features of every row, each position / period in [0, 1). @default [] */
  readonly timeFeatures?: readonly TimeFeature[];
  /** Cells within 5e-5 + 1e-5 |nullValue| of it are missing, as NaN is. */
  readonly nullValue?: number;
  /** Rows from one window to the next. @default 1 */
  readonly stride?: number;
  /** Rows of a season: adds the seasonal naive forecast. */
  readonly season?: number;
  /** @default "forecasting" */
  readonly task?: "forecasting" | "imputation";
}

/** Options of {@link ForecastingCsv}; give `path` or `content`. */
export interface ForecastingCsvOptions extends ForecastingOptions {
  /** A CSV file with a header row; a relative path starts at the config file. */
  readonly path?: string;
  /** The CSV text itself. */
  readonly content?: string;
  /** The value columns, in order. @default all but the time column */
  readonly columns?: readonly string[];
  /** The columns to predict, among the value columns. @default all */
  readonly targetColumns?: readonly string[];
  /** The column of time stamps; null for none. @default the first column if it holds dates */
  readonly timeColumn?: string | null;
}

/** Options of {@link ForecastingArray}. */
export interface ForecastingArrayOptions extends ForecastingOptions {
  /** [rows, channels], row-major; NaN (in a plain array also null) where a cell is missing. */
  readonly values: Float32Array | Float64Array | readonly (number | null)[];
  readonly channels: number;
  /** One time stamp a row: milliseconds since 1970, UTC. */
  readonly times?: Float64Array | readonly number[];
  /** The channels to use, in order. @default all */
  readonly columns?: readonly number[];
  /** The channels to predict, among those used. @default all */
  readonly targetColumns?: readonly number[];
}

const shared = {
  inputLength: integer(1),
  outputLength: integer(0).optional(),
  split: z.tuple([number(), number(), number()], { error: splitRule() }).default([0.7, 0.1, 0.2]),
  scaler: either('must be "zscore", "minmax" or null', z.enum(["zscore", "minmax"]), z.null())
    .default("zscore"),
  perChannel: flag().default(true),
  timeFeatures: list(oneOf(timeFeatureNames)).default([]),
  nullValue: number().optional(),
  stride: integer(1).default(1),
  season: integer(1).optional(),
  task: oneOf(["forecasting", "imputation"]).default("forecasting"),
};

const csvSchema = object({
  path: text().optional(),
  content: text().optional(),
  columns: list(text()).min(1, { error: "must name at least one column" }).optional(),
  targetColumns: list(text()).min(1, { error: "must name at least one column" }).optional(),
  timeColumn: either("must be a column name or null", text(), z.null()).optional(),
  ...shared,
});

const arraySchema = object({
  values: z.custom<ForecastingArrayOptions["values"]>(
    (v) =>
      v instanceof Float32Array || v instanceof Float64Array ||
      (Array.isArray(v) && v.every((x) => typeof x === "number" || x === null)),
    { error: "must be a Float32Array, a Float64Array or an array of numbers" },
  ),
  channels: integer(1),
  times: z.custom<ForecastingArrayOptions["times"]>(
    (v) =>
      v === undefined || v instanceof Float64Array ||
      (Array.isArray(v) && v.every((x) => typeof x === "number")),
    { error: "must be a Float64Array or an array of milliseconds" },
  ).optional(),
  columns: list(integer(0)).min(1, { error: "must name at least one channel" }).optional(),
  targetColumns: list(integer(0)).min(1, { error: "must name at least one channel" }).optional(),
  ...shared,
});

type Shared = z.output<z.ZodObject<typeof shared>>;

/** What the windows are cut from: raw values, columns chosen. */
interface Series {
  /** For messages: a file, or `values`. */
  readonly name: string;
  /** [rows, channels]; owned, scaled in place. */
  readonly values: Float32Array;
  readonly channels: number;
  readonly targetChannels?: readonly number[];
  readonly times?: Float64Array;
}

/** The parts, scaler and naive forecasts of one series. */
class ForecastingSplits implements DataSplits {
  readonly task: "forecasting" | "imputation";
  readonly train?: WindowDataset;
  readonly validation?: WindowDataset;
  readonly test?: WindowDataset;
  readonly scaler?: AffineScaler;
  readonly inputScaler?: AffineScaler;
  readonly naive?: DataSplits["naive"];

  constructor(series: Series, options: Shared, path: string) {
    const { channels, targetChannels } = series;
    this.task = options.task;
    const lengths = windowLengths(options, path);
    const bounds = partBounds(options.split, series, path);
    const [trainEnd, , end] = bounds;
    const matrix = series.values.subarray(0, end * channels);
    const masked = findMissing(matrix, series, options.nullValue);
    if (options.scaler !== null) {
      if (trainEnd === 0) {
        throw new ConfigError(
          `${path}.split`,
          `must have a training part to fit the scaler to, received ${show(options.split)}`,
        );
      }
      const { perChannel } = options;
      this.inputScaler = fitScaler(options.scaler, matrix, channels, {
        rows: [0, trainEnd],
        perChannel,
      });
      this.inputScaler.transform(matrix);
      this.scaler = targetChannels === undefined
        ? this.inputScaler
        : this.inputScaler.select(targetChannels);
    }
    const times = features(series, options.timeFeatures, end, path);
    const timeSize = options.timeFeatures.length;
    const source = { matrix, channels, targetChannels, masked, times, timeSize };
    const part = (index: number) => windows(source, bounds, index, options, lengths, path);
    this.train = part(0);
    this.validation = part(1);
    this.test = part(2);
    if (this.task === "forecasting") this.naive = this.#naive(source, options.season, path);
  }

  #naive(source: WindowSource, season: number | undefined, path: string): DataSplits["naive"] {
    const forecast = new NaiveForecast(source);
    const part = (split: "validation" | "test"): WindowDataset => {
      const windows = this[split];
      if (windows === undefined) throw new DataError(`there is no ${split} part to forecast`);
      return windows;
    };
    const last = (split: "validation" | "test", indices: ArrayLike<number>) =>
      forecast.last(part(split), indices);
    if (season === undefined) return { last };
    const first = (this.validation ?? this.test)?.rowAt(0) ?? season;
    if (season > first) {
      throw new ConfigError(
        `${path}.season`,
        `must be at most ${first}, the rows before the first target to evaluate, received ${season}`,
      );
    }
    return { last, seasonal: (split, indices) => forecast.seasonal(part(split), indices, season) };
  }
}

/** The forecasting data of a CSV file: a column a channel, a row a time step. */
export class ForecastingCsv extends ForecastingSplits {
  /** The names of the channels. */
  readonly columns: readonly string[];

  /**
   * @throws {ConfigError} If an option is wrong or the parts are too short for their windows.
   * @throws {DataError} If the file cannot be read.
   */
  constructor(params: ForecastingCsvOptions, context?: DataContext) {
    const path = context?.path ?? "data.params";
    const options = parseOptions(csvSchema, params, path, "ForecastingCsv");
    if ((options.path === undefined) === (options.content === undefined)) {
      throw new ConfigError(
        options.path === undefined ? `${path}.path` : `${path}.content`,
        options.path === undefined
          ? "is required: must be a file name, or give 'content'"
          : "must be left out where 'path' is given, received both",
      );
    }
    const table = readCsv({ ...options, baseDirectory: context?.baseDirectory });
    const { columns, values, times, name } = table;
    const targetChannels = options.targetColumns?.map((column, i) => {
      const at = columns.indexOf(column);
      if (at >= 0) return at;
      throw new ConfigError(
        `${path}.targetColumns[${i}]`,
        `must be a value column, received ${show(column)}${suggest(column, columns)}`,
      );
    });
    super({ name, values, channels: columns.length, targetChannels, times }, options, path);
    this.columns = columns;
  }
}

/** The forecasting data of an array in memory. */
export class ForecastingArray extends ForecastingSplits {
  /** @throws {ConfigError} If an option is wrong or the parts are too short for their windows. */
  constructor(params: ForecastingArrayOptions, context?: DataContext) {
    const path = context?.path ?? "data.params";
    const options = parseOptions(arraySchema, params, path, "ForecastingArray");
    super(arraySeries(options, path), options, path);
  }
}

function arraySeries(options: z.output<typeof arraySchema>, path: string): Series {
  const { values, channels, columns, targetColumns } = options;
  if (values.length % channels !== 0) {
    throw new ConfigError(
      `${path}.values`,
      `must have a multiple of channels = ${channels} values, received ${values.length}`,
    );
  }
  const rows = values.length / channels;
  const times = options.times === undefined ? undefined : Float64Array.from(options.times);
  if (times !== undefined && times.length !== rows) {
    throw new ConfigError(`${path}.times`, `must have ${rows} values, received ${times.length}`);
  }
  const wrong = columns?.findIndex((c) => c >= channels) ?? -1;
  if (columns !== undefined && wrong >= 0) {
    throw new ConfigError(
      `${path}.columns[${wrong}]`,
      `must be a channel below ${channels}, received ${columns[wrong]}`,
    );
  }
  const used = columns ?? Array.from({ length: channels }, (_, c) => c);
  const targetChannels = targetColumns?.map((column, i) => {
    const at = used.indexOf(column);
    if (at >= 0) return at;
    throw new ConfigError(
      `${path}.targetColumns[${i}]`,
      `must be one of the channels ${show(used)}, received ${column}`,
    );
  });
  const out = new Float32Array(rows * used.length);
  for (let r = 0, k = 0; r < rows; r++) {
    for (const c of used) out[k++] = values[r * channels + c] ?? NaN;
  }
  return { name: "values", values: out, channels: used.length, targetChannels, times };
}

/** Input rows, and target rows after them (0 where the targets are the inputs). */
function windowLengths(
  options: Shared,
  path: string,
): { inputLength: number; outputLength: number } {
  const { task, inputLength, outputLength } = options;
  const imputation = task === "imputation";
  const wrong = imputation
    ? outputLength !== undefined && outputLength !== 0 && outputLength !== inputLength
    : outputLength === undefined || outputLength === 0;
  if (wrong) {
    const rule = imputation ? "must be 0 for imputation" : "must be an integer >= 1";
    throw new ConfigError(
      `${path}.outputLength`,
      outputLength === undefined ? `is required: ${rule}` : `${rule}, received ${outputLength}`,
    );
  }
  return { inputLength, outputLength: imputation ? 0 : outputLength ?? 0 };
}

function splitRule(): string {
  return "must be three row counts, or three fractions with a sum of at most 1";
}

/** The row after the training, validation and test part. */
function partBounds(
  split: readonly number[],
  series: Series,
  path: string,
): [number, number, number] {
  const rows = series.values.length / series.channels;
  const sum = split[0] + split[1] + split[2];
  const isFractions = sum <= 1 + 1e-9;
  if (split.some((n) => n < 0 || !(isFractions || Number.isInteger(n))) || sum === 0) {
    throw new ConfigError(`${path}.split`, `${splitRule()}, received ${show(split)}`);
  }
  const parts = isFractions ? split.map((f) => Math.floor(f * rows + 1e-6)) : [...split];
  const left = rows - parts[0] - parts[1] - parts[2];
  if (left < 0) {
    throw new ConfigError(
      `${path}.split`,
      `needs ${rows - left} rows, ${series.name} has ${rows}`,
    );
  }
  if (isFractions && sum > 1 - 1e-9) parts[split[1] > 0 ? 1 : split[0] > 0 ? 0 : 2] += left;
  return [parts[0], parts[0] + parts[1], parts[0] + parts[1] + parts[2]];
}

/** Turns null values into NaN; whether any cell is missing. */
function findMissing(matrix: Float32Array, series: Series, nullValue: number | undefined): boolean {
  const tolerance = nullValue === undefined ? 0 : 5e-5 + 1e-5 * Math.abs(nullValue);
  let found = false;
  for (let i = 0; i < matrix.length; i++) {
    if (nullValue !== undefined && Math.abs(matrix[i] - nullValue) <= tolerance) matrix[i] = NaN;
    if (Number.isNaN(matrix[i])) found = true;
    else if (!Number.isFinite(matrix[i])) {
      throw new DataError(
        `${series.name}: row ${Math.floor(i / series.channels)}, channel ${i % series.channels}: ` +
          `must be a float32 number, or NaN where missing, received ${matrix[i]}`,
      );
    }
  }
  return found;
}

function features(
  series: Series,
  names: readonly TimeFeature[],
  end: number,
  path: string,
): Float32Array {
  if (names.length === 0) return new Float32Array(0);
  if (series.times === undefined) {
    throw new ConfigError(
      `${path}.timeFeatures`,
      `needs time stamps, ${series.name} has none, received ${show(names)}`,
    );
  }
  return calendarFeatures(series.times.subarray(0, end), names);
}

const partNames = ["training", "validation", "test"] as const;

/** The windows of part `index`, undefined for a part that the split leaves out. */
function windows(
  source: WindowSource,
  bounds: readonly number[],
  index: number,
  options: Shared,
  lengths: { inputLength: number; outputLength: number },
  path: string,
): WindowDataset | undefined {
  const { inputLength, outputLength } = lengths;
  const start = index === 0 ? 0 : bounds[index - 1];
  const end = bounds[index];
  if (options.split[index] === 0) return undefined;
  const first = outputLength === 0 ? start + inputLength : Math.max(start, inputLength);
  const dataset = new WindowDataset(source, { ...lengths, first, end, stride: options.stride });
  if (dataset.length > 0) return dataset;
  const before = outputLength === 0 ? 0 : Math.min(start, inputLength);
  throw new ConfigError(
    `${path}.split`,
    `leaves the ${partNames[index]} part ${end - start} rows (and ${before} before it), ` +
      `too few for one window of ${inputLength} + ${outputLength} rows`,
  );
}
