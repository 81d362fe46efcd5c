/**
 * Running values of training between two log lines: weighted sums, so that a mean over iterations
 * is the mean over items. The open sums go into every checkpoint as numbers.
 */
import type { Metric } from "../metric/metric.ts";
import type { Values } from "./record.ts";

/** The open sums, as a checkpoint keeps them. */
export interface MeterState {
  lossSum: number;
  lossCount: number;
  normSum: number;
  updates: number;
  metrics: number[];
  /** The rate of the last iteration. */
  lr?: number;
}

/** Training meters since the last log line. */
export class TrainMeters {
  readonly metrics: readonly Metric[];
  /** The rate of the last iteration, which is recorded beside the means. */
  lr: number | undefined;
  #state: Omit<MeterState, "lr">;

  constructor(metrics: readonly Metric[]) {
    this.metrics = metrics;
    this.#state = this.#empty();
  }

  #empty(): Omit<MeterState, "lr"> {
    const size = this.metrics.reduce((n, metric) => n + metric.size, 0);
    return {
      lossSum: 0,
      lossCount: 0,
      normSum: 0,
      updates: 0,
      metrics: new Array<number>(size).fill(0),
    };
  }

  /** Adds an iteration. */
  add(lossSum: number, lossCount: number, norm: number, metricSums: ArrayLike<number>): void {
    const state = this.#state;
    state.lossSum += lossSum;
    state.lossCount += lossCount;
    state.normSum += norm;
    state.updates++;
    for (let i = 0; i < metricSums.length; i++) state.metrics[i] += metricSums[i];
  }

  /** `loss`, the metrics and `grad_norm` since the last reset, where anything was added, and `lr`. */
  values(): Values {
    const { lossSum, lossCount, normSum, updates, metrics } = this.#state;
    const rate: Values = this.lr === undefined ? {} : { lr: this.lr };
    if (updates === 0) return rate;
    return {
      loss: lossSum / lossCount,
      ...metricValues(this.metrics, Float64Array.from(metrics)),
      grad_norm: normSum / updates,
      ...rate,
    };
  }

  reset(): void {
    this.#state = this.#empty();
  }

  stateDict(): MeterState {
    return { ...this.#state, metrics: [...this.#state.metrics], lr: this.lr };
  }

  loadStateDict({ lr, ...state }: MeterState): void {
    this.lr = lr;
    this.#state = { ...state, metrics: [...state.metrics] };
  }
}

/** The value of each metric from the totals of all, laid out one after the other. */
export function metricValues(metrics: readonly Metric[], totals: Float64Array): Values {
  const values: Record<string, number> = {};
  let at = 0;
  for (const metric of metrics) {
    values[metric.name] = metric.finalize(totals.subarray(at, at + metric.size));
    at += metric.size;
  }
  return values;
}
