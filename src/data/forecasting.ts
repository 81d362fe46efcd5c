/**
 * Sliding windows over a series of rows, split by time into training, validation and test.
 *
 * The inputs of validation and test windows may reach back into the part before, targets never do:
 * every row of a part is predicted, as in the published forecasting tables.
 */
import { ConfigError, show, suggest } from "../core/errors.ts";
import { readCsv } from "./csv.ts";
import type { DataContext } from "./dataset.ts";
import {
  type ForecastingArrayOptions,
  type ForecastingCsvOptions,
  parseArrayOptions,
  parseCsvOptions,
} from "./forecasting_options.ts";
import { ForecastingSplits, type Series } from "./forecasting_splits.ts";

export type {
  ForecastingArrayOptions,
  ForecastingCsvOptions,
  ForecastingOptions,
} from "./forecasting_options.ts";
export { ForecastingSplits } from "./forecasting_splits.ts";
export { WindowDataset } from "./window_dataset.ts";

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
    const options = parseCsvOptions(params, path);
    const table = readCsv({ ...options, baseDirectory: context?.baseDirectory });
    const { columns, values, times, lines, name } = table;
    const targetChannels = options.targetColumns?.map((column, i) => {
      const at = columns.indexOf(column);
      if (at >= 0) return at;
      throw new ConfigError(
        `${path}.targetColumns[${i}]`,
        `must be a value column, received ${show(column)}${suggest(column, columns)}`,
      );
    });
    const { timeColumn } = options;
    super(
      { name, values, channels: columns.length, targetChannels, times, lines, columns, timeColumn },
      options,
      path,
    );
    this.columns = columns;
  }
}

/** The forecasting data of an array in memory. */
export class ForecastingArray extends ForecastingSplits {
  /** @throws {ConfigError} If an option is wrong or the parts are too short for their windows. */
  constructor(params: ForecastingArrayOptions, context?: DataContext) {
    const path = context?.path ?? "data.params";
    const options = parseArrayOptions(params, path);
    super(arraySeries(options, path), options, path);
  }
}

function arraySeries(options: ForecastingArrayOptions, path: string): Series {
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
  const never = times?.findIndex((time) => !Number.isFinite(time)) ?? -1;
  if (never >= 0) {
    throw new ConfigError(
      `${path}.times[${never}]`,
      `must be a finite number of milliseconds, received ${times?.[never]}`,
    );
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
