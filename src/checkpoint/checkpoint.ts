/**
 * The checkpoints of a run, in one folder of its store:
 *
 *     step-00000500.safetensors   a whole state; parameters and buffers under `model.`
 *     latest                      the name of the newest complete checkpoint
 *     best.safetensors            weights under their plain names
 *     best-copy.safetensors       the same bytes: no other file holds these weights
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
import { MemoryStore } from "./memory_store.ts";
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
const BEST: readonly string[] = ["best.safetensors", "best-copy.safetensors"];
const EXCEPTION = "exception.safetensors";
/** More than any name has. */
const POINTER_BYTES = 200;
const STEP_NAME = /^step-([0-9]{8,16})\.safetensors$/;

/** Checkpoints in `folder` of `store`; `log` gets a line when a damaged one is passed over. */
export class CheckpointDirectory {
  readonly #store: Store;
  readonly #folder: string;
  readonly #log: (line: string) => void;
  /** The checkpoints that were written or read here. */
  readonly #known = new Set<number>();
  /** What was said of the best weights. */
  #told = "";

  constructor(store: Store, folder = "checkpoints", log: (line: string) => void = console.warn) {
    this.#store = store;
    this.#folder = folder;
    this.#log = log;
  }

  /** Writes the checkpoint of `iteration`, then points `latest` at it; resolves to its name in the store. */
  async save(iteration: number, state: CheckpointState): Promise<string> {
    const name = stepName(iteration);
    await this.#store.write(this.#at(name), await encodeFile("checkpoint", iteration, state));
    this.#known.add(iteration);
    await this.#store.write(this.#at("latest"), new TextEncoder().encode(name));
    return this.#at(name);
  }

  /** Replaces `best.safetensors` and its copy: the tensors under their plain names. */
  async saveBest(iteration: number, state: CheckpointState): Promise<string> {
    const bytes = await encodeFile("weights", iteration, state);
    // Memory has no files that could be damaged.
    const names = this.#store instanceof MemoryStore ? BEST.slice(0, 1) : BEST;
    for (const name of names) await this.#store.write(this.#at(name), bytes);
    return this.#at(BEST[0]);
  }

  /** Replaces `exception.safetensors`, which only a person reads. */
  async saveException(iteration: number, state: CheckpointState): Promise<string> {
    const name = this.#at(EXCEPTION);
    await this.#store.write(name, await encodeFile("checkpoint", iteration, state));
    return name;
  }

  /**
   * The newest checkpoint that can be read: by its number, because nothing vouches for the bytes of
   * `latest`. One line in the log says so if it is not the one that `latest` names. Undefined if
   * there is none at all.
   *
   * @throws {CheckpointError} If there are checkpoints and none can be read.
   */
  async latest(): Promise<Checkpoint | undefined> {
    const steps = await this.#steps();
    const { named, fault } = await this.#pointer();
    if (named === undefined && fault === undefined && steps.length === 0) return undefined;
    const faults = fault === undefined ? [] : [fault];
    if (fault === undefined && named === undefined) faults.push(`${this.#at("latest")} is missing`);
    const candidates = new Set(named === undefined ? steps : [...steps, named]);
    for (const iteration of [...candidates].sort((a, b) => b - a)) {
      try {
        const state = await this.load(iteration);
        if (named !== undefined && named < iteration) {
          faults.push(`${this.#at("latest")} names ${stepName(named)}, which is not the newest`);
        }
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
    if (found === undefined) {
      throw new CheckpointError(`${this.#store.location}/${name}: there is no such file`);
    }
    if (found.iteration !== iteration) {
      throw new CheckpointError(`${name}: holds iteration ${found.iteration}`);
    }
    this.#known.add(iteration);
    return found.state;
  }

  /**
   * The best weights, or undefined if there are none: from the copy, with a line, where
   * `best.safetensors` is damaged or missing.
   *
   * @param since The iteration of the best validation that is known: older weights are not the best.
   * @throws {CheckpointError} If there are such files and none can be used.
   */
  async best(since = 0): Promise<Checkpoint | undefined> {
    const faults: string[] = [];
    let isThere = false;
    for (const name of BEST.map((name) => this.#at(name))) {
      try {
        const found = await this.#read(name, "weights");
        isThere ||= found !== undefined;
        if (found !== undefined && found.iteration >= since) {
          if (faults.length > 0) this.#tell(`${faults.join("; ")}: using ${name}`);
          return found;
        }
        faults.push(
          found === undefined
            ? `${name} is missing`
            : `${name}: holds iteration ${found.iteration}, the best is of ${since}`,
        );
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        isThere = true;
        faults.push(error.message);
      }
    }
    if (!isThere) return undefined;
    throw new CheckpointError(
      `the best weights in ${this.#store.location} cannot be read: ${faults.join("; ")}; put a ` +
        `copy of yours in their place, or remove the files to go on with the newest weights`,
    );
  }

  /** The iterations that have a checkpoint, ascending. */
  async iterations(): Promise<number[]> {
    return await this.#steps();
  }

  /**
   * Removes the checkpoints that `policy` does not keep, and what interrupted writes have left.
   *
   * Of checkpoints beyond the one `latest` names, those that were written or read here are of
   * iterations that a run has gone back from, and go. Others, which could not be read, stay and do
   * not count.
   */
  async prune(policy: KeepPolicy): Promise<void> {
    const { keep, every, at = [] } = policy;
    for (const name of await this.#store.list(this.#folder)) {
      if (TEMPORARY_NAME.test(name)) await this.#store.remove(this.#at(name));
    }
    const latest = (await this.#pointer()).named;
    if (latest === undefined) return;
    const steps = await this.#steps();
    for (const iteration of steps) {
      if (iteration > latest && this.#known.has(iteration)) await this.#remove(iteration);
    }
    if (keep === null) return;
    const old = steps.filter((iteration) => iteration < latest);
    const counted = old.slice(0, Math.max(0, old.length - Math.max(0, keep - 1)));
    for (const iteration of counted) {
      if (at.includes(iteration) || (every !== undefined && iteration % every === 0)) continue;
      await this.#remove(iteration);
    }
  }

  /** Removes every checkpoint, the best weights and the pointer: the run starts again. */
  async clear(): Promise<void> {
    await this.#store.remove(this.#at("latest"));
    for (const name of await this.#store.list(this.#folder)) {
      const isOurs = iterationOf(name) !== undefined || BEST.includes(name) ||
        name === EXCEPTION || TEMPORARY_NAME.test(name);
      if (isOurs) await this.#store.remove(this.#at(name));
    }
  }

  async #steps(): Promise<number[]> {
    const names = await this.#store.list(this.#folder);
    return names.map(iterationOf).filter((i) => i !== undefined).sort((a, b) => a - b);
  }

  async #remove(iteration: number): Promise<void> {
    await this.#store.remove(this.#at(stepName(iteration)));
    this.#known.delete(iteration);
  }

  /** The iteration that `latest` names, or what is wrong with it; neither if it is missing. */
  async #pointer(): Promise<{ named?: number; fault?: string }> {
    const name = this.#at("latest");
    let bytes: Uint8Array | undefined;
    try {
      bytes = await this.#store.read(name);
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      return { fault: error.message };
    }
    if (bytes === undefined) return {};
    const text = new TextDecoder().decode(bytes.subarray(0, POINTER_BYTES)).trim();
    const named = iterationOf(text);
    const fault = `${name} must name a checkpoint, received ${show(text)}`;
    return named === undefined ? { fault } : { named };
  }

  /** Says what was not said just before. */
  #tell(line: string): void {
    if (line !== this.#told) this.#log(line);
    this.#told = line;
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
