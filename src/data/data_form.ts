/**
 * The form of a run's data: what must be known of it to predict, without the data. It is plain, and
 * stands beside the weights in every file of a run, so that weights are used with the scaler and the
 * null value that they were trained with.
 */
import type { DataSplits, SeriesForm } from "./dataset.ts";
import { type AffineScaler, scalerFromState, type ScalerState } from "./scaler.ts";

/** {@link DataSplits} without its data. */
export interface DataForm {
  readonly task?: DataSplits["task"];
  readonly scaler?: ScalerState;
  readonly inputScaler?: ScalerState;
  readonly nullValue?: number;
  readonly series?: SeriesForm;
}

/** The form of `data`. */
export function formOf(data: DataSplits): DataForm {
  const { task, scaler, inputScaler, nullValue, series } = data;
  return {
    task,
    scaler: scaler && stateOf(scaler),
    inputScaler: inputScaler && stateOf(inputScaler),
    nullValue,
    series,
  };
}

/** Data of this form that has no part: all that prediction needs. */
export function dataOf(form: DataForm): DataSplits {
  const { task, scaler, inputScaler, nullValue, series } = form;
  return {
    task,
    scaler: scaler && scalerFromState(scaler),
    inputScaler: inputScaler && scalerFromState(inputScaler),
    nullValue,
    series,
  };
}

function stateOf({ type, channels, shift, scale }: AffineScaler): ScalerState {
  return { type, channels, shift: [...shift], scale: [...scale] };
}

/**
 * Turns the cells of `values` within 5e-5 + 1e-5 |nullValue| of `nullValue` into NaN, in place.
 *
 * @returns Whether any cell is NaN now.
 */
export function markMissing(values: Float32Array, nullValue: number | undefined): boolean {
  const tolerance = nullValue === undefined ? 0 : 5e-5 + 1e-5 * Math.abs(nullValue);
  let found = false;
  for (let i = 0; i < values.length; i++) {
    if (nullValue !== undefined && Math.abs(values[i] - nullValue) <= tolerance) values[i] = NaN;
    if (Number.isNaN(values[i])) found = true;
  }
  return found;
}
