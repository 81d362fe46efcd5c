/** The options of the forecasting data sets, their rules and defaults. */
import { ConfigError } from "../core/errors.ts";
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
import { type TimeFeature, timeFeatureNames } from "./calendar.ts";
import { splitRule } from "./split.ts";

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

/** {@link ForecastingOptions} with the defaults filled in. */
export type ForecastingSettings =
  & ForecastingOptions
  & Required<
    Pick<
      ForecastingOptions,
      "split" | "scaler" | "perChannel" | "timeFeatures" | "stride" | "task"
    >
  >;

const distinct = <T extends z.ZodType>(item: T): z.ZodArray<T> => {
  const error = "must be an array of at least one column, each once";
  return list(item, error).min(1, { error }).refine((all) => new Set(all).size === all.length, {
    error,
  });
};

const shared = {
  inputLength: integer(1),
  outputLength: integer(0).optional(),
  split: z.tuple([number(), number(), number()], { error: splitRule }).default([0.7, 0.1, 0.2]),
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
  columns: distinct(text()).optional(),
  targetColumns: distinct(text()).optional(),
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
  columns: distinct(integer(0)).optional(),
  targetColumns: distinct(integer(0)).optional(),
  ...shared,
});

/** The schema of {@link ForecastingCsvOptions}. */
export const forecastingCsvSchema: z.ZodObject = csvSchema;

/** The schema of {@link ForecastingArrayOptions}. */
export const forecastingArraySchema: z.ZodObject = arraySchema;

/** Checks the params of a ForecastingCsv and fills in the defaults. */
export function parseCsvOptions(
  params: unknown,
  path: string,
): ForecastingCsvOptions & ForecastingSettings {
  const options = parseOptions(csvSchema, params, path, "ForecastingCsv");
  if ((options.path === undefined) !== (options.content === undefined)) return options;
  throw options.path === undefined
    ? new ConfigError(`${path}.path`, "is required: must be a file name, or give 'content'")
    : new ConfigError(`${path}.content`, "must be left out where 'path' is given, received both");
}

/** Checks the params of a ForecastingArray and fills in the defaults. */
export function parseArrayOptions(
  params: unknown,
  path: string,
): ForecastingArrayOptions & ForecastingSettings {
  return parseOptions(arraySchema, params, path, "ForecastingArray");
}
