/** From one series of raw values to the parts, scaler and naive forecasts of a run. */
import { checksum } from "../core/checksum.ts";
import { ConfigError, DataError, show } from "../core/errors.ts";
import { calendarFeatures, requireOrder, type TimeFeature } from "./calendar.ts";
import type { DataSplits, SeriesForm } from "./dataset.ts";
import type { ForecastingSettings } from "./forecasting_options.ts";
import { markMissing } from "./data_form.ts";
import { NaiveForecast } from "./naive.ts";
import { type AffineScaler, fitScaler } from "./scaler.ts";
import { partBounds } from "./split.ts";
import { WindowDataset, type WindowSource } from "./window_dataset.ts";

/** What the windows are cut from: raw values, columns chosen. */
export interface Series {
  /** For messages: a file, or `values`. */
  readonly name: string;
  /** [rows, channels]; owned, scaled in place. */
  readonly values: Float32Array;
  readonly channels: number;
  readonly targetChannels?: readonly number[];
  readonly times?: Float64Array;
  /** The line of the file on which each row begins, where there is a file. */
  readonly lines?: Int32Array;
  /** The names of the channels, if they have any. */
  readonly columns?: readonly string[];
  /** The column of time stamps, as the options name it. */
  readonly timeColumn?: string | null;
}

/** The parts, scaler and naive forecasts of one series. */
export class ForecastingSplits implements DataSplits {
  readonly task: "forecasting" | "imputation";
  readonly train?: WindowDataset;
  readonly validation?: WindowDataset;
  readonly test?: WindowDataset;
  readonly scaler?: AffineScaler;
  readonly inputScaler?: AffineScaler;
  readonly nullValue?: number;
  readonly series: SeriesForm;
  readonly identity: string;
  readonly naive?: NonNullable<DataSplits["naive"]>;

  constructor(series: Series, options: ForecastingSettings, path: string) {
    const { channels, targetChannels } = series;
    const rows = series.values.length / channels;
    this.task = options.task;
    this.nullValue = options.nullValue;
    if (series.times !== undefined) requireOrder(series.times, series.name, series.lines);
    const lengths = windowLengths(options, path);
    const bounds = partBounds(options.split, rows, `${path}.split`, series.name);
    const [trainEnd, , end] = bounds;
    const matrix = series.values.subarray(0, end * channels);
    this.identity = checksum(matrix);
    const masked = markMissing(matrix, options.nullValue);
    refuseInfinite(matrix, series);
    const { columns, timeColumn } = series;
    this.series = {
      ...lengths,
      channels,
      masked,
      timeFeatures: options.timeFeatures,
      columns,
      targetColumns: columns && (targetChannels?.map((c) => columns[c]) ?? columns),
      timeColumn,
    };
    if (masked) {
      refuseEmptyParts(matrix, bounds.map((row) => row * channels), series.name);
      refuseUnseen(matrix.subarray(0, trainEnd * channels), series, path);
    }
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
    if (this.task === "forecasting") {
      this.naive = this.#naive(source, options.season, path);
    } else if (options.season !== undefined) {
      throw new ConfigError(
        `${path}.season`,
        `must be left out for imputation, received ${options.season}`,
      );
    }
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

/** Input rows, and target rows after them (0 where the targets are the inputs). */
function windowLengths(
  options: ForecastingSettings,
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

/** A part without one observed value would train or test on nothing. */
function refuseEmptyParts(matrix: Float32Array, ends: readonly number[], name: string): void {
  ["training", "validation", "test"].forEach((part, i) => {
    const values = matrix.subarray(i === 0 ? 0 : ends[i - 1], ends[i]);
    if (values.length > 0 && values.every(Number.isNaN)) {
      throw new DataError(`${name}: the ${part} part must have at least one observed value`);
    }
  });
}

/** A channel that is never observed in training can be neither scaled nor learnt from. */
function refuseUnseen(
  training: Float32Array,
  { name, channels, columns }: Series,
  path: string,
): void {
  const seen = new Uint8Array(channels);
  training.forEach((value, i) => Number.isNaN(value) || (seen[i % channels] = 1));
  const never = training.length === 0 ? -1 : seen.indexOf(0);
  if (never < 0) return;
  const column = columns === undefined ? `channel ${never}` : `column ${show(columns[never])}`;
  throw new DataError(
    `${name}: ${column} has no observed value in the training part; leave it out of ${path}.columns`,
  );
}

function refuseInfinite(matrix: Float32Array, { name, channels }: Series): void {
  const i = matrix.findIndex((value) => Math.abs(value) === Infinity);
  if (i < 0) return;
  throw new DataError(
    `${name}: row ${Math.floor(i / channels)}, channel ${i % channels}: ` +
      `must be a float32 number, or NaN where missing, received ${matrix[i]}`,
  );
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
  options: ForecastingSettings,
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
