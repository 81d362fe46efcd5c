/** Weights in a file by parameter name. */
import { CheckpointError, show } from "../core/errors.ts";
import { pathModule } from "../core/host.ts";
import type * as tf from "../tensor/tf.ts";
import { MODEL_PREFIX, readEnvelope } from "./checkpoint.ts";
import { readFile, writeFile } from "./file_store.ts";
import type { HostTensor } from "./safetensors.ts";
import { decodeSealed, encodeSealed } from "./sealed.ts";
import type { Store } from "./store.ts";
import { readTensors, toTensorOf } from "./tensors.ts";

/** A path of the file system, or a file in a store. */
export type WeightsFile = string | { readonly store: Store; readonly name: string };

/** How `loadWeights` treats names and shapes that do not agree. */
export interface LoadWeightsOptions {
  /** Refuse them all (default), or load what agrees. */
  readonly strict?: boolean;
}

/** What did not agree, sorted. */
export interface LoadWeightsReport {
  /** Wanted and not in the file. */
  readonly missing: string[];
  /** In the file and not wanted. */
  readonly unexpected: string[];
  /** In both with another shape or kind of number. */
  readonly mismatched: string[];
}

/** Writes `parameters` as a safetensors file with digests, replacing an older one as one act. */
export async function saveWeights(
  target: WeightsFile,
  parameters: Record<string, tf.Tensor>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const bytes = await encodeSealed(await readTensors(parameters), metadata);
  if (typeof target === "string") await writeFile(pathModule().resolve(target), bytes);
  else await target.store.write(target.name, bytes);
}

/**
 * Assigns the tensors of a safetensors file to variables of the same names.
 *
 * Reads weights files and the checkpoints of a run (of which it takes the model). F16, BF16 and F64
 * are converted to float32, I64 to int32. If it throws, nothing was assigned.
 *
 * @param source A path, a file in a store, or the bytes of a file.
 * @throws {CheckpointError} For a file that is missing or damaged and, if strict, when names,
 * shapes or dtypes differ; the message lists them.
 */
export async function loadWeights(
  source: WeightsFile | Uint8Array,
  into: Record<string, tf.Variable>,
  { strict = true }: LoadWeightsOptions = {},
): Promise<LoadWeightsReport> {
  const { bytes, where } = await readSource(source);
  const found = await modelTensors(bytes, where);
  const names = Object.keys(into).sort();
  const missing = names.filter((name) => !Object.hasOwn(found, name));
  const unexpected = Object.keys(found).filter((name) => !Object.hasOwn(into, name)).sort();
  const mismatched: string[] = [];
  const faults: string[] = [];
  const loaded: [tf.Variable, tf.Tensor][] = [];
  try {
    for (const name of names) {
      if (!Object.hasOwn(found, name)) continue;
      const host = found[name];
      const variable = into[name];
      const tensor = sameShape(host.shape, variable.shape)
        ? toTensorOf(host, variable.dtype)
        : undefined;
      if (tensor !== undefined) {
        loaded.push([variable, tensor]);
        continue;
      }
      mismatched.push(name);
      faults.push(
        `${show(name)} is ${host.dtype} ${show(host.shape)}, ` +
          `wanted ${variable.dtype} ${show(variable.shape)}`,
      );
    }
    if (strict && missing.length + unexpected.length + faults.length > 0) {
      const parts = [
        listed("missing", missing.map(show)),
        listed("unexpected", unexpected.map(show)),
        listed("mismatched", faults),
      ].filter((part) => part !== "");
      throw new CheckpointError(`${where}: does not fit the model: ${parts.join("; ")}`);
    }
    for (const [variable, tensor] of loaded) variable.assign(tensor);
  } finally {
    for (const [, tensor] of loaded) tensor.dispose();
  }
  return { missing, unexpected, mismatched };
}

async function readSource(
  source: WeightsFile | Uint8Array,
): Promise<{ bytes: Uint8Array; where: string }> {
  if (source instanceof Uint8Array) return { bytes: source, where: "weights" };
  const where = typeof source === "string" ? source : source.name;
  const bytes = typeof source === "string"
    ? await readFile(pathModule().resolve(source))
    : await source.store.read(source.name);
  if (bytes === undefined) throw new CheckpointError(`${where}: there is no such file`);
  return { bytes, where };
}

/** The tensors of a weights file, or those of a checkpoint that belong to the model. */
async function modelTensors(
  bytes: Uint8Array,
  where: string,
): Promise<Record<string, HostTensor>> {
  const content = await decodeSealed(bytes, where);
  if (readEnvelope(content, where)?.kind !== "checkpoint") return content.tensors;
  const model: Record<string, HostTensor> = Object.create(null);
  for (const name of Object.keys(content.tensors)) {
    if (name.startsWith(MODEL_PREFIX)) {
      model[name.slice(MODEL_PREFIX.length)] = content.tensors[name];
    }
  }
  return model;
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, i) => length === b[i]);
}

/** `missing 5: "a", "b", "c", ...`, or nothing. */
function listed(word: string, items: readonly string[]): string {
  if (items.length === 0) return "";
  return `${word} ${items.length}: ${items.slice(0, 3).join(", ")}${
    items.length > 3 ? ", ..." : ""
  }`;
}
