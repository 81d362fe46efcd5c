/**
 * The checkpoints of a run, in one folder of its store:
 *
 *     step-00000500.safetensors   a whole state; parameters and buffers under `model.`
 *     latest                      the name of the newest complete checkpoint
 *     best.safetensors            weights under their plain names
 *     exception.safetensors       the state in which an error ended a run, if it is not to be resumed
 *
 * `latest` moves only after its checkpoint is complete, and files are pruned only by a call of
 * their own after that, so that a readable checkpoint exists at every instant. The metadata of a
 * file holds `downhill`: JSON text (rules in json.ts) of format version, kind, iteration and the
 * caller's own data; and the digests of every byte (sealed.ts), verified before a tensor is made.
 */
import { CheckpointError, show } from "../core/errors.ts";
import { TEMPORARY_NAME } from "./file_store.ts";
import { decodeJson, encodeJson } from "./json.ts";
import type { HostTensor } from "./safetensors.ts";
import { decodeSealed, encodeSealed, type SealedContent } from "./sealed.ts";
import type { Store } from "./store.ts";

/** Tensors by name, and plain data; its numbers may be NaN or infinite. */
export interface CheckpointState {
  readonly tensors: Record<string, HostTensor>;
  readonly meta: Record<string, unknown>;
}

/** A state and the iteration after which it was taken. */
export interface Checkpoint {
  readonly iteration: number;
  readonly state: CheckpointState;
}

/** Which checkpoints stay; the one that `latest` names and the best one always do. */
export interface KeepPolicy {
  /** The newest so many; null keeps all. */
  readonly keep: number | null;
  /** Those whose iteration is a multiple of this. */
  readonly every?: number;
  /** Those of these iterations. */
  readonly at?: readonly number[];
}

/** Before the names of parameters and buffers in a checkpoint. */
export const MODEL_PREFIX: string = "model.";

/**
 * Version of the layout of names and metadata; files of a higher one are refused. Since 2 there are
 * digests; files of 1 are still read, with a line.
 */
export const FORMAT: number = 2;

const KEY = "downhill";
const EXCEPTION = "exception.safetensors";
const STEP_NAME = /^step-([0-9]{8,16})\.safetensors$/;

/** Checkpoints in `folder` of `store`; `log` gets a line when a damaged one is passed over. */
export class CheckpointDirectory {
  readonly #store: Store;
  readonly #folder: string;
  readonly #log: (line: string) => void;

  constructor(store: Store, folder = "checkpoints", log: (line: string) => void = console.warn) {
    this.#store = store;
    this.#folder = folder;
    this.#log = log;
  }

  /** Writes the checkpoint of `iteration`, then points `latest` at it; resolves to its name in the store. */
  async save(iteration: number, state: CheckpointState): Promise<string> {
    const name = stepName(iteration);
    await this.#store.write(this.#at(name), await encodeFile("checkpoint", iteration, state));
    await this.#store.write(this.#at("latest"), new TextEncoder().encode(name));
    return this.#at(name);
  }

  /** Replaces `best.safetensors`: the tensors under their plain names. */
  async saveBest(iteration: number, state: CheckpointState): Promise<string> {
    const name = this.#at("best.safetensors");
    await this.#store.write(name, await encodeFile("weights", iteration, state));
    return name;
  }

  /** Replaces `exception.safetensors`, which only a person reads. */
  async saveException(iteration: number, state: CheckpointState): Promise<string> {
    const name = this.#at(EXCEPTION);
    await this.#store.write(name, await encodeFile("checkpoint", iteration, state));
    return name;
  }

  /**
   * The checkpoint that `latest` names; if that one is missing or damaged, the newest that can be
   * read, with one line in the log. Undefined if there is none at all.
   *
   * @throws {CheckpointError} If there are checkpoints and none can be read.
   */
  async latest(): Promise<Checkpoint | undefined> {
    const steps = (await this.#steps()).reverse();
    const pointer = await this.#pointer();
    if (steps.length === 0 && pointer === undefined) return undefined;
    const faults: string[] = [];
    if (pointer === undefined) faults.push(`${this.#at("latest")} is missing`);
    const pointed = pointer === undefined ? undefined : iterationOf(pointer);
    if (pointer !== undefined && pointed === undefined) {
      faults.push(`${this.#at("latest")} must name a checkpoint, received ${show(pointer)}`);
    }
    const candidates = pointed === undefined
      ? steps
      : [pointed, ...steps.filter((iteration) => iteration !== pointed)];
    for (const iteration of candidates) {
      try {
        const state = await this.load(iteration);
        if (faults.length > 0) {
          this.#log(`${faults.join("; ")}: using ${this.#at(stepName(iteration))}`);
        }
        return { iteration, state };
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        faults.push(error.message);
      }
    }
    throw new CheckpointError(
      `no checkpoint in ${this.#store.location} can be read: ${faults.join("; ")}`,
    );
  }

  /**
   * The state saved at `iteration`.
   *
   * @throws {CheckpointError} If it is missing or damaged.
   */
  async load(iteration: number): Promise<CheckpointState> {
    const name = this.#at(stepName(iteration));
    const found = await this.#read(name, "checkpoint");
    if (found === undefined) throw new CheckpointError(`${name}: there is no such file`);
    if (found.iteration !== iteration) {
      throw new CheckpointError(`${name}: holds iteration ${found.iteration}`);
    }
    return found.state;
  }

  /**
   * The best weights, or undefined if none were saved.
   *
   * @throws {CheckpointError} If the file is damaged.
   */
  async best(): Promise<Checkpoint | undefined> {
    return await this.#read(this.#at("best.safetensors"), "weights");
  }

  /** The iterations that have a checkpoint, ascending. */
  async iterations(): Promise<number[]> {
    return await this.#steps();
  }

  /**
   * Removes the checkpoints that `policy` does not keep, and what interrupted writes have left.
   *
   * Checkpoints beyond the one `latest` names (from before a resume from an older one) neither
   * count as newest nor are removed.
   */
  async prune(policy: KeepPolicy): Promise<void> {
    const { keep, every, at = [] } = policy;
    for (const name of await this.#store.list(this.#folder)) {
      if (TEMPORARY_NAME.test(name)) await this.#store.remove(this.#at(name));
    }
    const pointer = await this.#pointer();
    const latest = pointer === undefined ? undefined : iterationOf(pointer);
    if (latest === undefined || keep === null) return;
    const old = (await this.#steps()).filter((iteration) => iteration < latest);
    const counted = old.slice(0, Math.max(0, old.length - Math.max(0, keep - 1)));
    for (const iteration of counted) {
      if (at.includes(iteration) || (every !== undefined && iteration % every === 0)) continue;
      await this.#store.remove(this.#at(stepName(iteration)));
    }
  }

  /** Removes every checkpoint, the best weights and the pointer: the run starts again. */
  async clear(): Promise<void> {
    await this.#store.remove(this.#at("latest"));
    for (const name of await this.#store.list(this.#folder)) {
      const isOurs = iterationOf(name) !== undefined || name === "best.safetensors" ||
        name === EXCEPTION || TEMPORARY_NAME.test(name);
      if (isOurs) await this.#store.remove(this.#at(name));
    }
  }

  async #steps(): Promise<number[]> {
    const names = await this.#store.list(this.#folder);
    return names.map(iterationOf).filter((i) => i !== undefined).sort((a, b) => a - b);
  }

  async #pointer(): Promise<string | undefined> {
    const bytes = await this.#store.read(this.#at("latest"));
    return bytes && new TextDecoder().decode(bytes).trim();
  }

  async #read(name: string, kind: FileKind): Promise<Checkpoint | undefined> {
    const bytes = await this.#store.read(name);
    if (bytes === undefined) return undefined;
    const content = await decodeSealed(bytes, name);
    const header = readEnvelope(content, name);
    if (header?.kind !== kind) {
      throw new CheckpointError(
        `${name}: must be a ${kind} file of Downhill, received ${header?.kind ?? "another file"}`,
      );
    }
    const { format, iteration, meta } = header;
    if (format === 1) this.#log(`${name}: of format 1, without digests; damage may go unnoticed`);
    return { iteration, state: { tensors: content.tensors, meta } };
  }

  #at(name: string): string {
    return `${this.#folder}/${name}`;
  }
}

/** A whole training state, or weights alone. */
export type FileKind = "checkpoint" | "weights";

/** What the metadata of a file says. */
export interface Envelope {
  readonly format: number;
  readonly kind: FileKind;
  readonly iteration: number;
  readonly meta: Record<string, unknown>;
}

/**
 * The envelope of a file that Downhill wrote in a run, undefined for other safetensors files.
 *
 * @throws {CheckpointError} If it is damaged or of a higher format version.
 */
export function readEnvelope(content: SealedContent, where: string): Envelope | undefined {
  const text = content.metadata[KEY];
  if (text === undefined) return undefined;
  let found: Partial<Envelope> | null;
  try {
    found = decodeJson(text) as Partial<Envelope> | null;
  } catch (error) {
    const rule = error instanceof CheckpointError ? error.message : "must be JSON";
    throw new CheckpointError(`${where}: metadata ${KEY}: ${rule}`);
  }
  const { format, kind, iteration, meta } = found ?? {};
  if (typeof format === "number" && format > FORMAT) {
    throw new CheckpointError(
      `${where}: written in format ${format}, this version reads up to ${FORMAT}`,
    );
  }
  if (format === FORMAT && !content.sealed) {
    throw new CheckpointError(`${where}: damaged: the digests are missing`);
  }
  const valid = (format === 1 || format === FORMAT) &&
    (kind === "checkpoint" || kind === "weights") &&
    Number.isSafeInteger(iteration) && typeof meta === "object" && meta !== null &&
    !Array.isArray(meta);
  if (!valid) throw new CheckpointError(`${where}: metadata ${KEY} is incomplete: ${show(text)}`);
  return found as Envelope;
}

async function encodeFile(
  kind: FileKind,
  iteration: number,
  state: CheckpointState,
): Promise<Uint8Array> {
  const envelope: Envelope = { format: FORMAT, kind, iteration, meta: state.meta };
  return await encodeSealed(state.tensors, { [KEY]: encodeJson(envelope) });
}

/** `step-00000500.safetensors`: 8 digits, more when needed. */
function stepName(iteration: number): string {
  if (!Number.isSafeInteger(iteration) || iteration < 0) {
    throw new CheckpointError(`iteration must be an integer >= 0, received ${show(iteration)}`);
  }
  return `step-${String(iteration).padStart(8, "0")}.safetensors`;
}

/** The iteration in a name that `stepName` makes, undefined for any other name. */
function iterationOf(name: string): number | undefined {
  const iteration = Number(STEP_NAME.exec(name)?.[1]);
  return Number.isSafeInteger(iteration) && stepName(iteration) === name ? iteration : undefined;
}
