/**
 * What a run's files say of its data, under `contents` of the fingerprint: enough to notice that the
 * data have changed, and their form, so that weights predict as they were trained without the data.
 */
import { CheckpointError } from "../core/errors.ts";
import type { DataSplits } from "../data/dataset.ts";
import { type DataForm, dataOf, formOf } from "../data/form.ts";
import { firstDifference } from "./snapshot.ts";

/** Plain data; equal for equal data. */
export interface Contents {
  readonly samples: Record<"train" | "validation" | "test", number | null>;
  readonly form: DataForm;
  readonly identity: string | null;
}

/** What a resumed run must share of the data themselves: a changed file is another run. */
export function contentsOf(data: DataSplits): Contents {
  const { train, validation, test, identity = null } = data;
  const count = (part?: object): number | null =>
    part !== undefined && "length" in part ? part.length as number : null;
  return {
    samples: { train: count(train), validation: count(validation), test: count(test) },
    form: formOf(data),
    identity,
  };
}

/**
 * The contents in the metadata of a checkpoint or of the best weights.
 *
 * @throws {CheckpointError} If there are none.
 */
export function savedContents(meta: Record<string, unknown>, source: string): Contents {
  const { contents } = (meta.fingerprint ?? {}) as { contents?: Contents };
  if (contents?.form === undefined) {
    throw new CheckpointError(`${source}: says nothing of the data it was trained on`);
  }
  return contents;
}

/** The data in the form that saved weights were trained with: the run's own, unless they have changed. */
export function dataOfWeights(
  meta: Record<string, unknown>,
  now: Record<string, unknown>,
  data: DataSplits,
  source: string,
): DataSplits {
  const saved = (meta.fingerprint as Record<string, unknown> | undefined)?.contents;
  if (firstDifference(saved, now.contents, "") === undefined) return data;
  return dataOf(savedContents(meta, source).form);
}
