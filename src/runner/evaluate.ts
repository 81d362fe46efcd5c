/**
 * Evaluation of a split: the loss and every metric as sums per sample, added in double precision
 * in sample order, so that the values do not depend on the batch size, on when they are taken, or on
 * how many batches are under way at once.
 * Training's random numbers and meters are out of reach from here.
 */
import { type RandomStream, randomStream } from "../core/random.ts";
import { toTensors } from "../data/batch.ts";
import type { HostArray, HostBatch } from "../data/dataset.ts";
import type { AffineScaler } from "../data/scaler.ts";
import type { DataLoader } from "../data/loader.ts";
import type { Loss } from "../loss/loss.ts";
import type { Metric } from "../metric/metric.ts";
import { metricSums } from "../metric/sums.ts";
import type { Model } from "../model/model.ts";
import type { Task } from "../task/task.ts";
import { readTogether } from "../tensor/read.ts";
import * as tf from "../tensor/tf.ts";
import type { EvaluationLanes, Split } from "./engine.ts";
import type { Values } from "./record.ts";
import { forwardPass } from "./forward_pass.ts";
import { metricValues } from "./meters.ts";
import type { RunParts } from "./parts.ts";

/** What an evaluation needs. */
export interface EvaluationParts {
  readonly model: Model;
  readonly task: Task;
  readonly loss: Loss;
  readonly metrics: readonly Metric[];
  /** Puts the inputs that a visitor sees into original units; absent where they stay scaled. */
  readonly inputScaler?: AffineScaler;
}

/** What may be done with a batch's tensors before they are freed, for example saving predictions. */
export type BatchVisitor = (
  batch: { inputs?: tf.Tensor; prediction: tf.Tensor; target: tf.Tensor },
) => Promise<void>;

/** What {@link evaluatedParts} looks at. */
export type EvaluatedRun = Pick<
  RunParts,
  "model" | "task" | "loss" | "metrics" | "horizonMetrics" | "data" | "settings"
>;

/** What is evaluated of a part; a test has the metrics of single time steps too. */
export function evaluatedParts(
  { model, task, loss, metrics, horizonMetrics, data, settings }: EvaluatedRun,
  split: Split,
): EvaluationParts {
  return {
    model,
    task,
    loss,
    metrics: split === "test" ? [...metrics, ...horizonMetrics] : metrics,
    inputScaler: settings.rescale ? data.inputScaler ?? data.scaler : undefined,
  };
}

/** The random numbers of an evaluation. */
export function evaluationRandom(seed: number, split: Split): RandomStream {
  return randomStream(seed, split);
}

/**
 * Loss and metrics over a loader.
 *
 * @param breathe Called after every batch: keeps the loop reachable; what it throws ends the evaluation.
 */
export async function evaluate(
  metrics: readonly Metric[],
  loader: DataLoader,
  lanes: EvaluationLanes,
  breathe: () => Promise<void>,
  batches: number = loader.batchesPerEpoch,
): Promise<Values> {
  const totals = new Totals(metrics);
  let lossSum = 0, lossCount = 0;
  let start = 0;
  const underWay: Promise<ArrayLike<number>>[] = [];
  const take = async (): Promise<void> => {
    const [sum, count, ...sums] = Array.from(await underWay.shift()!);
    lossSum += sum;
    lossCount += count;
    totals.add(sums);
  };
  try {
    for (let k = 0; k < batches; k++) {
      const rows = await loader.load(k, lanes.allocator?.());
      while (underWay.length >= lanes.width) await take();
      const sums = lanes.run(rows, start);
      // One that fails while an earlier batch is waited for is told of in its turn.
      sums.catch(() => {});
      underWay.push(sums);
      start += loader.indices(k).length;
      await breathe();
    }
    while (underWay.length > 0) await take();
  } finally {
    // The weights may change when this is over.
    await Promise.allSettled(underWay);
  }
  return { loss: lossSum / lossCount, ...totals.values() };
}

/** Evaluates in this process, one batch after the other. */
export function localLanes(
  parts: EvaluationParts,
  random: RandomStream,
  visit?: BatchVisitor,
): EvaluationLanes {
  return {
    width: 1,
    run: (rows, position) => batchSums(parts, random, rows, position, visit),
  };
}

async function batchSums(
  parts: EvaluationParts,
  random: RandomStream,
  rows: HostBatch,
  position: number,
  visit?: BatchVisitor,
): Promise<Float64Array> {
  const pass = tf.tidy(() => {
    const batch = toTensors(rows);
    const flow = parts.task.preprocess(batch, { training: false, random, position });
    const output = forwardPass(parts.model, flow.model, { training: false, random });
    const value = { prediction: output.prediction, target: flow.target, mask: flow.mask };
    // Never the model's own: it has not seen the targets.
    const loss = parts.loss(value.prediction, value.target, value.mask);
    const count = typeof loss.count === "number" ? tf.scalar(loss.count) : loss.count;
    const units = parts.task.postprocess(value.prediction, value.target);
    return {
      sum: loss.sum,
      count,
      sums: metricSums(parts.metrics, units.prediction, units.target, flow.mask),
      ...(visit === undefined
        ? {}
        : { visited: { ...units, inputs: inputsOf(batch, parts) ?? tf.clone(units.target) } }),
    };
  });
  try {
    const sums = await readTogether([pass.sum, pass.count, pass.sums]);
    if (visit !== undefined && pass.visited !== undefined) await visit(pass.visited);
    return sums;
  } finally {
    tf.dispose([pass.sum, pass.count, pass.sums, ...Object.values(pass.visited ?? {})]);
  }
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
  { task, metrics }: Pick<EvaluationParts, "task" | "metrics">,
  loader: DataLoader,
  forecast: (indices: ArrayLike<number>) => HostArray,
  random: RandomStream,
  breathe: () => Promise<void>,
): Promise<Values> {
  const totals = new Totals(metrics);
  for (let k = 0; k < loader.batchesPerEpoch; k++) {
    const rows = await loader.load(k);
    const sums = tf.tidy(() => {
      const batch = toTensors({ ...rows, forecast: forecast(loader.indices(k)) });
      const flow = task.preprocess(batch, { training: false, random });
      const units = task.postprocess(batch.forecast, flow.target);
      return metricSums(metrics, units.prediction, units.target, flow.mask);
    });
    totals.add(await sums.data());
    sums.dispose();
    await breathe();
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

  /** Adds the sums of a batch, [rows, sizes of all metrics]. */
  add(sums: ArrayLike<number>): void {
    const width = this.#totals.length;
    for (let i = 0; i < sums.length; i++) this.#totals[i % width] += sums[i];
  }

  values(): Values {
    return metricValues(this.#metrics, this.#totals);
  }
}
