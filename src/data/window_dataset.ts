/** Sliding windows over one matrix in memory: a sample is a position, a batch a copy of blocks. */
import { checkIndices } from "./array_dataset.ts";
import { allocateFresh } from "./batch.ts";
import type { Allocate, Dataset, HostArray, HostBatch } from "./dataset.ts";

/** The series that windows are cut from; the parts of one run share it. */
export interface WindowSource {
  /** [rows, channels], row-major; NaN where a cell is missing. */
  readonly matrix: Float32Array;
  readonly channels: number;
  /** The channels of the targets, in order; undefined for all. */
  readonly targetChannels?: readonly number[];
  /** Whether batches carry masks: when any cell of the matrix is missing. */
  readonly masked: boolean;
  /** Calendar features, [rows, timeSize]; none when `timeSize` is 0. */
  readonly times: Float32Array;
  readonly timeSize: number;
}

/** Which windows a part has. */
export interface WindowRange {
  /** Rows of the input window. */
  readonly inputLength: number;
  /** Rows of the target window, which follows the input; 0: the targets are the input window. */
  readonly outputLength: number;
  /** The row after the input window of the first sample. */
  readonly first: number;
  /** The row after the last window of the part. */
  readonly end: number;
  /** Rows from one window to the next. */
  readonly stride: number;
}

/**
 * Windows of a series: L input rows up to row t (exclusive), then H target rows.
 *
 * Fields of a batch: `inputs` [B, L, C], `targets` [B, H, Ct], missing cells as 0; where the series
 * misses any cell, `inputsMask` and `targetsMask` of the same shapes (1 present, 0 missing); with
 * calendar features, `inputsTime` [B, L, F] and `targetsTime` [B, H, F]. All are float32.
 */
export class WindowDataset implements Dataset {
  readonly length: number;
  readonly source: WindowSource;
  readonly range: WindowRange;

  constructor(source: WindowSource, range: WindowRange) {
    this.source = source;
    this.range = range;
    const last = range.end - range.outputLength;
    this.length = Math.max(0, Math.floor((last - range.first) / range.stride) + 1);
  }

  /** t of sample `index`: the row after its input window, the first of its targets when forecasting. */
  rowAt(index: number): number {
    return this.range.first + index * this.range.stride;
  }

  gather(indices: ArrayLike<number>, allocate: Allocate = allocateFresh): HostBatch {
    checkIndices(indices, this.length);
    const { matrix, channels, targetChannels, masked, times, timeSize } = this.source;
    const { inputLength, outputLength } = this.range;
    const input = { offset: -inputLength, rows: inputLength };
    const target = outputLength === 0 ? input : { offset: 0, rows: outputLength };
    const batch: HostBatch = {
      inputs: this.#copy(allocate, indices, input, matrix, channels),
      targets: this.#copy(allocate, indices, target, matrix, channels, targetChannels),
    };
    if (masked) {
      batch.inputsMask = takeMask(allocate, batch.inputs);
      batch.targetsMask = takeMask(allocate, batch.targets);
    }
    if (timeSize > 0) {
      batch.inputsTime = this.#copy(allocate, indices, input, times, timeSize);
      batch.targetsTime = this.#copy(allocate, indices, target, times, timeSize);
    }
    return batch;
  }

  #copy(
    allocate: Allocate,
    indices: ArrayLike<number>,
    { offset, rows }: { offset: number; rows: number },
    matrix: Float32Array,
    width: number,
    chosen?: readonly number[],
  ): HostArray {
    const size = chosen?.length ?? width;
    const data = allocate(Float32Array, indices.length * rows * size);
    for (let b = 0; b < indices.length; b++) {
      const row = this.rowAt(indices[b]) + offset;
      if (chosen === undefined) {
        data.set(matrix.subarray(row * width, (row + rows) * width), b * rows * width);
        continue;
      }
      let k = b * rows * size;
      for (let r = row; r < row + rows; r++) {
        for (let c = 0; c < size; c++) data[k++] = matrix[r * width + chosen[c]];
      }
    }
    return { data, shape: [indices.length, rows, size], dtype: "float32" };
  }
}

/** The mask of a field (1 where a cell is a number); its NaNs become 0. */
function takeMask(allocate: Allocate, { data, shape }: HostArray): HostArray {
  const mask = allocate(Float32Array, data.length);
  for (let i = 0; i < data.length; i++) {
    const isMissing = Number.isNaN(data[i]);
    mask[i] = isMissing ? 0 : 1;
    if (isMissing) data[i] = 0;
  }
  return { data: mask, shape, dtype: "float32" };
}
