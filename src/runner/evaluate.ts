/**
 * Evaluation of a split: the loss and every metric as sums per sample, added in double precision
 * in sample order, so that the values do not depend on the batch size or on when they are taken.
 * Training's random numbers and meters are out of reach from here.
 */
import type { RandomStream } from "../core/random.ts";
import { toTensors } from "../data/batch.ts";
import type { HostArray } from "../data/dataset.ts";
import type { AffineScaler } from "../data/scaler.ts";
import type { DataLoader } from "../data/loader.ts";
import type { Loss } from "../loss/loss.ts";
import type { Metric } from "../metric/metric.ts";
import { metricSums } from "../metric/sums.ts";
import type { Model } from "../model/model.ts";
import type { Task } from "../task/task.ts";
import { readTogether } from "../tensor/read.ts";
import * as tf from "../tensor/tf.ts";
import { namedOutput } from "./gradients.ts";
import type { Values } from "./hooks.ts";
import { metricValues } from "./meters.ts";

/** What an evaluation needs. */
export interface EvaluationParts {
  readonly model: Model;
  readonly task: Task;
  readonly loss: Loss;
  readonly metrics: readonly Metric[];
  /** Puts the inputs that a visitor sees into original units; absent where they stay scaled. */
  readonly inputScaler?: AffineScaler;
  /** Called after every batch: keeps the loop reachable; what it throws ends the evaluation. */
  breathe(): Promise<void>;
}

/** What may be done with a batch's tensors before they are freed, for example saving predictions. */
export type BatchVisitor = (
  batch: { inputs?: tf.Tensor; prediction: tf.Tensor; target: tf.Tensor },
) => Promise<void>;

/** Loss and metrics of the model over a loader. */
export async function evaluate(
  parts: EvaluationParts,
  loader: DataLoader,
  random: RandomStream,
  visit?: BatchVisitor,
  batches: number = loader.batchesPerEpoch,
): Promise<Values> {
  const totals = new Totals(parts.metrics);
  let lossSum = 0, lossCount = 0;
  let start = 0;
  for (let k = 0; k < batches; k++) {
    const rows = await loader.load(k);
    const pass = tf.tidy(() => {
      const batch = toTensors(rows);
      const flow = parts.task.preprocess(batch, { training: false, random, position: start });
      const output = namedOutput(parts.model.forward(flow.model, { training: false, random }));
      const value = { prediction: output.prediction, target: flow.target, mask: flow.mask };
      // Never the model's own: it has not seen the targets.
      const loss = parts.loss(value.prediction, value.target, value.mask);
      const count = typeof loss.count === "number" ? tf.scalar(loss.count) : loss.count;
      const units = parts.task.postprocess(value.prediction, value.target);
      return {
        sum: loss.sum,
        count,
        sums: totals.of(units.prediction, units.target, flow.mask),
        ...(visit === undefined
          ? {}
          : { visited: { ...units, inputs: inputsOf(batch, parts) ?? tf.clone(units.target) } }),
      };
    });
    const [sum, count, ...sums] = await readTogether([pass.sum, pass.count, pass.sums]);
    lossSum += sum;
    lossCount += count;
    totals.add(sums);
    if (visit !== undefined && pass.visited !== undefined) await visit(pass.visited);
    tf.dispose([pass.sum, pass.count, pass.sums, ...Object.values(pass.visited ?? {})]);
    start += loader.indices(k).length;
    await parts.breathe();
  }
  return { loss: lossSum / lossCount, ...totals.values() };
}

function inputsOf(
  { inputs }: Record<string, tf.Tensor>,
  { inputScaler }: EvaluationParts,
): tf.Tensor | undefined {
  if (inputs === undefined) return undefined;
  return inputScaler === undefined ? tf.clone(inputs) : inputScaler.inverseTensor(inputs);
}

/** The metrics of a forecast that needs no model, given as host arrays for the same samples. */
export async function evaluateForecast(
  parts: Pick<EvaluationParts, "task" | "metrics" | "breathe">,
  loader: DataLoader,
  forecast: (indices: ArrayLike<number>) => HostArray,
  random: RandomStream,
): Promise<Values> {
  const totals = new Totals(parts.metrics);
  for (let k = 0; k < loader.batchesPerEpoch; k++) {
    const rows = await loader.load(k);
    const sums = tf.tidy(() => {
      const batch = toTensors({ ...rows, forecast: forecast(loader.indices(k)) });
      const flow = parts.task.preprocess(batch, { training: false, random });
      const units = parts.task.postprocess(batch.forecast, flow.target);
      return totals.of(units.prediction, units.target, flow.mask);
    });
    totals.add(await sums.data());
    sums.dispose();
    await parts.breathe();
  }
  return totals.values();
}

/** Metric sums over samples in double precision. */
class Totals {
  readonly #metrics: readonly Metric[];
  readonly #totals: Float64Array;

  constructor(metrics: readonly Metric[]) {
    this.#metrics = metrics;
    this.#totals = new Float64Array(metrics.reduce((n, metric) => n + metric.size, 0));
  }

  /** The sums of a batch: [batch, sizes of all metrics]. */
  of(prediction: tf.Tensor, target: tf.Tensor, mask?: tf.Tensor): tf.Tensor {
    return metricSums(this.#metrics, prediction, target, mask);
  }

  add(sums: ArrayLike<number>): void {
    const width = this.#totals.length;
    for (let i = 0; i < sums.length; i++) this.#totals[i % width] += sums[i];
  }

  values(): Values {
    return metricValues(this.#metrics, this.#totals);
  }
}
