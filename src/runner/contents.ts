/**
 * What a run's files say of its data, under `contents` of the fingerprint: enough to notice that the
 * data have changed, and their form, so that weights predict as they were trained without the data.
 */
import type { DataSplits } from "../data/dataset.ts";
import { type DataForm, dataOf, formOf } from "../data/data_form.ts";
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

/** What a fingerprint says of the data: the config's section, and the contents. */
export interface SavedData {
  readonly data?: unknown;
  readonly contents?: Contents;
}

/** What the metadata of a checkpoint or of the best weights say of the data. */
export function savedData(meta: Record<string, unknown>): SavedData {
  const { data, contents } = (meta.fingerprint ?? {}) as SavedData;
  return { data, contents };
}

/** The data in the form that weights were trained with: the run's own, unless they have changed. */
export function dataOfWeights({ contents }: SavedData, now: unknown, data: DataSplits): DataSplits {
  const isOwn = contents === undefined || firstDifference(contents, now, "") === undefined;
  return isOwn ? data : dataOf(contents.form);
}
