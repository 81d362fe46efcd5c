/** Metrics of single forecast steps. */
import { ConfigError, show } from "../core/errors.ts";
import { join } from "../core/options.ts";
import { expandMask } from "../loss/items.ts";
import * as tf from "../tensor/tf.ts";
import type { Metric } from "./metric.ts";

/** The metrics of one forecast step. */
export interface HorizonMetrics {
  /** `horizon_<step>` */
  readonly name: string;
  /** The step, 1-based. */
  readonly horizon: number;
  /** The metrics, under their own names, each on this step only. */
  readonly metrics: readonly Metric[];
}

/**
 * The metrics again for each step of `horizons` (1-based steps of axis 1). Metrics that have no
 * value for a single step (r2, corr) are left out.
 *
 * @throws {ConfigError} If a horizon is no integer >= 1 or given twice; on update, if the target
 * has fewer steps.
 */
export function horizonMetrics(
  metrics: readonly Metric[],
  horizons: readonly number[],
  path = "horizons",
): HorizonMetrics[] {
  return horizons.map((horizon, i) => {
    if (!Number.isInteger(horizon) || horizon < 1) {
      throw new ConfigError(join(path, i), `must be an integer >= 1, received ${show(horizon)}`);
    }
    if (horizons.indexOf(horizon) !== i) {
      throw new ConfigError(join(path, i), `must not repeat, received ${horizon} twice`);
    }
    return {
      name: `horizon_${horizon}`,
      horizon,
      metrics: metrics.filter((m) => m.perHorizon).map((m) => atStep(m, horizon, join(path, i))),
    };
  });
}

/** {@link horizonMetrics} in one list, under the names that evaluations give them. */
export function stepMetrics(
  metrics: readonly Metric[],
  horizons: readonly number[],
  path?: string,
): Metric[] {
  return horizonMetrics(metrics, horizons, path).flatMap(({ name, metrics }) =>
    metrics.map((metric) => ({ ...metric, name: `${name}/${metric.name}` }))
  );
}

function atStep(metric: Metric, horizon: number, path: string): Metric {
  return {
    name: metric.name,
    size: metric.size,
    higherIsBetter: metric.higherIsBetter,
    perHorizon: true,
    finalize: (totals: Float64Array): number => metric.finalize(totals),
    update(prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor): tf.Tensor2D {
      const steps = target.shape[1] ?? 0;
      if (horizon > steps) {
        throw new ConfigError(
          path,
          `must be at most the number of target steps, ${steps}, received ${horizon}`,
        );
      }
      const step = (x: tf.Tensor): tf.Tensor => tf.slice(x, [0, horizon - 1], [-1, 1]);
      const valid = expandMask(mask, target.shape);
      return metric.update(step(prediction), step(target), valid && step(valid));
    },
  };
}
