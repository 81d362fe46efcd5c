/** Forecasts without a model, in the space of the targets: what a trained model has to beat. */
import type { HostArray } from "./dataset.ts";
import type { WindowDataset, WindowSource } from "./window_dataset.ts";

/** Naive forecasts over one series. */
export class NaiveForecast {
  readonly #source: WindowSource;
  #carried: Float32Array | undefined;

  constructor(source: WindowSource) {
    this.#source = source;
  }

  /** Every step is the last value observed before the target window; 0 if there is none. */
  last(windows: WindowDataset, indices: ArrayLike<number>): HostArray {
    return this.#read(windows, indices, (t) => t - 1);
  }

  /**
   * Step t + h (h from 0) is the newest row of the same phase that lies before the window:
   * row t + h - season * ceil((h + 1) / season), with missing cells carried forward.
   */
  seasonal(windows: WindowDataset, indices: ArrayLike<number>, season: number): HostArray {
    return this.#read(windows, indices, (t, h) => t + h - season * Math.ceil((h + 1) / season));
  }

  #read(
    windows: WindowDataset,
    indices: ArrayLike<number>,
    row: (t: number, h: number) => number,
  ): HostArray {
    const { channels, targetChannels } = this.#source;
    const chosen = targetChannels ?? Array.from({ length: channels }, (_, c) => c);
    const steps = windows.range.outputLength;
    const data = new Float32Array(indices.length * steps * chosen.length);
    const matrix = this.#carried ??= carriedForward(this.#source);
    let k = 0;
    for (let b = 0; b < indices.length; b++) {
      const t = windows.rowAt(indices[b]);
      for (let h = 0; h < steps; h++) {
        const at = row(t, h) * channels;
        for (const c of chosen) data[k++] = matrix[at + c];
      }
    }
    return { data, shape: [indices.length, steps, chosen.length], dtype: "float32" };
  }
}

/** The matrix with every missing cell replaced by the value above it, 0 where there is none. */
function carriedForward({ matrix, channels, masked }: WindowSource): Float32Array {
  if (!masked) return matrix;
  const out = matrix.slice();
  for (let i = 0; i < out.length; i++) {
    if (Number.isNaN(out[i])) out[i] = i < channels ? 0 : out[i - channels];
  }
  return out;
}
