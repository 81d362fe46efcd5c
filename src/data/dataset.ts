/**
 * What a data set is: samples by index, gathered into typed arrays.
 *
 * Field names are the batch's field names. The library's own tasks read `inputs`, `targets` and,
 * where cells are missing, `targetsMask` (1 = present); a model may read any other field.
 */
import type { TimeFeature } from "./calendar.ts";
import type { AffineScaler } from "./scaler.ts";

/** A tensor on the host: row-major data, shape and dtype. */
export interface HostArray {
  readonly data: Float32Array | Int32Array | Uint8Array;
  readonly shape: readonly number[];
  readonly dtype: "float32" | "int32" | "bool";
}

/** The fields of one batch; every field's first axis is the batch. */
export type HostBatch = Record<string, HostArray>;

/** Gives an array to put values into at once; what is in it is left over from before. */
export type Allocate = <A extends HostArray["data"]>(
  type: { new (length: number): A; new (buffer: ArrayBuffer, at: number, length: number): A },
  length: number,
) => A;

/** Samples that can be reached by index. */
export interface Dataset {
  /** Number of samples. */
  readonly length: number;
  /**
   * The samples at `indices`, stacked along a new first axis, in arrays that stay as they are until the
   * next call, or, which saves workers a copy, in those that `allocate` gives before anything is awaited.
   */
  gather(indices: ArrayLike<number>, allocate?: Allocate): HostBatch | Promise<HostBatch>;
}

/** One sample of a stream: per field a number, or an array with its shape (no batch axis). */
export type Sample = Record<string, number | HostArray>;

/** Samples that come in order and cannot be reached by index. */
export interface IterableDataset {
  /** Begins pass number `epoch` (0-based); equal epochs must yield equal samples. */
  open(epoch: number): AsyncIterable<Sample> | Iterable<Sample>;
}

/** What a data factory is told beside its params. */
export interface DataContext {
  /** The folder that relative paths start from: that of the config file. */
  readonly baseDirectory: string;
  /** The seed of the run. */
  readonly seed: number;
  /** Where the params stand in the config, for error messages. @default "data.params" */
  readonly path?: string;
}

/** How the rows of a series become a model's inputs. */
export interface SeriesForm {
  /** Rows of the input window. */
  readonly inputLength: number;
  /** Rows of the target window; 0: the targets are the input window. */
  readonly outputLength: number;
  readonly channels: number;
  /** Whether batches carry masks. */
  readonly masked: boolean;
  readonly timeFeatures: readonly TimeFeature[];
  /** The names of the channels, and of those that are predicted, where they have names. */
  readonly columns?: readonly string[];
  readonly targetColumns?: readonly string[];
  /** The column of time stamps, as the options name it. */
  readonly timeColumn?: string | null;
}

/** The parts of a run's data, as a registered data factory returns them. */
export interface DataSplits {
  readonly train?: Dataset | IterableDataset;
  readonly validation?: Dataset;
  readonly test?: Dataset;
  /** `forecasting` (the default; any regression), `classification` or `imputation`. */
  readonly task?: "forecasting" | "classification" | "imputation";
  /** The scaler already applied to the targets; predictions are put back through its inverse. */
  readonly scaler?: AffineScaler;
  /** The scaler already applied to the inputs; where it is left out, `scaler` was. */
  readonly inputScaler?: AffineScaler;
  /** Cells of inputs within 5e-5 + 1e-5 |nullValue| of it are missing, as NaN is: how prediction reads them. */
  readonly nullValue?: number;
  /** How rows of a series become inputs: how prediction reads them from a file. */
  readonly series?: SeriesForm;
  /** A text that differs when the contents differ, so that a resume notices changed data. */
  readonly identity?: string;
  /** Forecasts without a model, by name, for the same samples and in the same space as the targets. */
  readonly naive?: Record<
    string,
    (split: "validation" | "test", indices: ArrayLike<number>) => HostArray
  >;
}

/** Batches by number, counted from 0 and, where a loader is infinite, on over the epochs. */
export interface Loader {
  load(k: number, allocate?: Allocate): HostBatch | Promise<HostBatch>;
  /** Batches of one epoch; undefined where only reading would tell. */
  readonly batchesPerEpoch?: number;
  /** Lets go of what is held open; a later load opens it again. */
  close?(): Promise<void>;
}
