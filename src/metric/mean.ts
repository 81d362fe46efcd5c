/** Metrics that are a weighted mean of items: [sum of values, sum of weights] per sample. */
import { type ItemRule, sampleSums } from "../loss/items.ts";
import * as tf from "../tensor/tf.ts";
import type { Metric } from "./metric.ts";

/** What sets one mean metric apart from another. */
export interface MeanMetricOptions {
  /** @default {false} */
  readonly higherIsBetter?: boolean;
  /** @default {false} */
  readonly needsLabels?: boolean;
  /** Applied to the mean, for example a root. */
  readonly finish?: (mean: number) => number;
}

/** The metric finish(sum(values) / sum(weights)) of a rule's items. */
export function meanMetric(name: string, rule: ItemRule, options: MeanMetricOptions = {}): Metric {
  const { higherIsBetter = false, needsLabels = false, finish = (mean: number) => mean } = options;
  return {
    name,
    size: 2,
    higherIsBetter,
    needsLabels,
    perHorizon: true,
    update(prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor): tf.Tensor2D {
      const { values, weights } = rule(prediction, target, mask);
      const [batch, ...rest] = values.shape;
      const counts = weights === undefined
        ? tf.fill([batch], rest.reduce((a, b) => a * b, 1))
        : sampleSums(weights);
      return tf.stack([sampleSums(values), counts], 1) as tf.Tensor2D;
    },
    finalize: ([sum, count]: Float64Array): number => count > 0 ? finish(sum / count) : NaN,
  };
}
