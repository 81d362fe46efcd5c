/** Targets that cannot be learnt from: labels that are no class, and parts in which nothing counts. */
import { ConfigError, DataError, show } from "../core/errors.ts";
import type { HostArray } from "../data/dataset.ts";
import type { RunParts } from "../runner/parts.ts";
import * as tf from "../tensor/tf.ts";

/** What is checked. */
export interface CheckedTargets {
  /** For errors: `training part`. */
  readonly part: string;
  /** All samples of the part, where they are in memory, else the first ones. */
  readonly fields: Readonly<Record<string, HostArray>>;
  readonly isWhole: boolean;
  /** The shape of the model's prediction for some of them. */
  readonly scores: readonly number[];
}

/**
 * Labels of a classification must be integers in [0, classes), or such as the loss leaves out
 * (`ignoreIndex`); with a metric of labels (accuracy) they must be integers in any task. Cells under
 * a 0 of `targetsMask` may hold anything.
 *
 * @throws {DataError} At the first label that is no class, and where no target of a part counts.
 * @throws {ConfigError} If a metric of labels is to compare other numbers.
 */
export async function checkTargets(
  { task, loss, metrics }: Pick<RunParts, "task" | "loss" | "metrics">,
  { part, fields, isWhole, scores }: CheckedTargets,
): Promise<void> {
  const name = task.name === "imputation" ? "inputs" : "targets";
  const { [name]: targets, targetsMask: mask } = fields;
  if (targets === undefined) return;
  if (isWhole && mask !== undefined && mask.data.every((value) => value === 0)) {
    throw new DataError(`${part}: no target counts, targetsMask is 0 everywhere`);
  }
  const isLabelled = task.name === "classification" &&
    scores.length === targets.shape.length + 1;
  const ofLabels = metrics.find((metric) => metric.needsLabels === true);
  if (!isLabelled && ofLabels === undefined) return;

  const classes = isLabelled ? scores[scores.length - 1] : Infinity;
  const counts = mask === undefined ? () => true : cellsOf(mask, targets.shape);
  const left = new Set<number>();
  let counted = 0;
  for (const [i, label] of targets.data.entries()) {
    if (!counts(i) || left.has(label)) continue;
    if (Number.isInteger(label) && (!isLabelled || (label >= 0 && label < classes))) {
      counted++;
    } else if (isLabelled && await isLeftOut(loss, label, targets, classes)) {
      left.add(label);
    } else {
      const row = Math.floor(i / (targets.data.length / targets.shape[0]));
      const where = `${part}, field ${show(name)}, row ${row}`;
      if (isLabelled) {
        throw new DataError(
          `${where}: must be a class, an integer from 0 to ${classes - 1}, received ${label}`,
        );
      }
      throw new ConfigError(
        "metrics",
        `${ofLabels!.name} needs labels, which are integers; ${where} holds ${label}`,
      );
    }
  }
  if (isWhole && isLabelled && counted === 0) {
    throw new DataError(`${part}: no target counts, the loss leaves out every label`);
  }
}

/** Whether the loss takes a label that is no class. */
async function isLeftOut(
  loss: RunParts["loss"],
  label: number,
  { shape, dtype }: HostArray,
  classes: number,
): Promise<boolean> {
  if (label !== (label | 0)) return false;
  const one = [1, ...shape.slice(1)];
  const sum = tf.tidy(() =>
    loss(tf.zeros([...one, classes]), tf.cast(tf.fill(one, label), dtype)).sum
  );
  const [value] = await sum.data();
  sum.dispose();
  return Number.isFinite(value);
}

/** Whether cell i of `shape`, row-major, counts under a mask that broadcasts to it. */
function cellsOf(
  { data, shape: from }: HostArray,
  shape: readonly number[],
): (i: number) => boolean {
  if (data.length === shape.reduce((a, b) => a * b, 1)) return (i) => data[i] !== 0;
  return (i) => {
    let at = 0, rest = i, step = 1;
    for (let axis = 1; axis <= from.length; axis++) {
      const size = shape[shape.length - axis], own = from[from.length - axis];
      if (own > 1) at += step * (rest % size);
      step *= own;
      rest = Math.floor(rest / size);
    }
    return data[at] !== 0;
  };
}
