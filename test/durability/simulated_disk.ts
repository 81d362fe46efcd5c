/**
 * A disk in memory that knows what a power cut would leave of it.
 *
 * What was written and not synced may be lost, whole or in part; so may every change of a folder
 * (a new name, a rename, a removal) since the folder was synced, each for itself. That is less than
 * most file systems promise, and as little as POSIX does.
 */
import { dirname } from "node:path";
import type { FileOperations } from "../../src/checkpoint/file_store.ts";

interface Inode {
  isFolder: boolean;
  data: Uint8Array;
  /** The bytes that the last sync made durable. */
  synced: Uint8Array;
}

/** One change of a folder, which happens as a whole or not at all. */
interface Change {
  readonly folder: string;
  readonly names: readonly (readonly [path: string, inode: Inode | undefined])[];
}

/** Called before every operation; may throw, or answer how many bytes a write takes. */
export type Before = (operation: string, path: string) => number | void;

/** Files by path, as a crash leaves them. */
export type Files = ReadonlyMap<string, Uint8Array>;

export class SimulatedDisk {
  before: Before = () => {};
  /** Called after every operation. */
  after: (operation: string) => Promise<void> = async () => {};
  /** Handles that are open. */
  handles = 0;
  #names = new Map<string, Inode>();
  #durable = new Map<string, Inode>();
  #pending: Change[] = [];

  /** A disk that holds `files`, all of them durable. */
  constructor(files: Files = new Map()) {
    this.#durable.set("/", { isFolder: true, data: empty, synced: empty });
    for (const [path, bytes] of files) {
      for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
        this.#durable.set(folder, { isFolder: true, data: empty, synced: empty });
      }
      this.#durable.set(path, { isFolder: false, data: bytes, synced: bytes });
    }
    this.#names = new Map(this.#durable);
  }

  /** Files as programs see them. */
  get files(): Files {
    return filesOf(this.#names);
  }

  /** Everything that may be left if the power went now, `now` first. */
  *crashStates(): Generator<Files> {
    if (this.#pending.length > 12) throw new Error(`${this.#pending.length} changes not synced`);
    for (let kept = 2 ** this.#pending.length - 1; kept >= 0; kept--) {
      const names = new Map(this.#durable);
      this.#pending.forEach((change, i) => (kept >> i) & 1 ? apply(change, names) : undefined);
      yield* this.#contents(names);
    }
  }

  /** The states of files that were written and not synced: all, nothing, half, zeros. */
  *#contents(names: Map<string, Inode>): Generator<Files> {
    const whole = new Map(filesOf(names));
    yield whole;
    for (const path of whole.keys()) {
      const { data, synced } = names.get(path)!;
      if (data === synced) continue;
      const half = data.slice(0, Math.max(synced.length, data.length >> 1));
      const zeros = new Uint8Array(data.length);
      zeros.set(synced.subarray(0, data.length));
      for (const bytes of [synced, half, zeros]) yield new Map(whole).set(path, bytes);
    }
  }

  /** As much of `node:fs/promises` as the store uses. */
  get operations(): FileOperations {
    const act = async <T>(operation: string, path: string, work: () => T): Promise<T> => {
      this.before(operation, path);
      const result = work();
      await this.after(operation);
      return result;
    };
    return {
      open: (path: string, flags: string) => act("open", path, () => this.#open(path, flags)),
      mkdir: (path: string) => act("mkdir", path, () => this.#makeFolders(path)),
      lstat: (path: string) =>
        act("lstat", path, () => {
          const inode = this.#names.get(path);
          if (inode === undefined) throw fault("ENOENT", path);
          return { isSymbolicLink: () => false, isFile: () => !inode.isFolder };
        }),
      rename: (from: string, to: string) => act("rename", to, () => this.#rename(from, to)),
      rm: (path: string) =>
        act("rm", path, () => {
          if (this.#names.has(path)) this.#change(path, undefined);
        }),
      readdir: (path: string) =>
        act("readdir", path, () => {
          if (!this.#names.has(path)) throw fault("ENOENT", path);
          return [...this.#names].filter(([name]) => dirname(name) === path).map((
            [name, { isFolder }],
          ) => ({ name: name.slice(path.length + 1), isFile: () => !isFolder }));
        }),
    } as unknown as FileOperations;
  }

  #open(path: string, flags: string): object {
    let inode = this.#names.get(path);
    if (flags === "wx" && inode !== undefined) throw fault("EEXIST", path);
    if (inode === undefined) {
      if (flags.startsWith("r")) throw fault("ENOENT", path);
      if (!this.#names.get(dirname(path))?.isFolder) throw fault("ENOENT", path);
      inode = { isFolder: false, data: empty, synced: empty };
      this.#change(path, inode);
    }
    this.handles++;
    return this.#handle(path, inode);
  }

  #handle(path: string, inode: Inode): object {
    const act = async <T>(operation: string, work: (most: number) => T): Promise<T> => {
      const most = this.before(operation, path) ?? Infinity;
      const result = work(most);
      await this.after(operation);
      return result;
    };
    return {
      write: (bytes: Uint8Array, offset: number, length: number) =>
        act("write", (most) => {
          const part = bytes.subarray(offset, offset + Math.min(length, most));
          const data = new Uint8Array(inode.data.length + part.length);
          data.set(inode.data);
          data.set(part, inode.data.length);
          inode.data = data;
          return { bytesWritten: part.length };
        }),
      read: (bytes: Uint8Array, offset: number, length: number, position: number) =>
        act("read", () => {
          const part = inode.data.subarray(position, position + length);
          bytes.set(part, offset);
          return { bytesRead: part.length };
        }),
      truncate: (length: number) => act("truncate", () => inode.data = inode.data.slice(0, length)),
      stat: () => act("stat", () => ({ size: inode.data.length })),
      sync: () =>
        act("sync", () => {
          if (!inode.isFolder) return void (inode.synced = inode.data);
          for (const change of this.#pending) {
            if (change.folder === path) apply(change, this.#durable);
          }
          this.#pending = this.#pending.filter(({ folder }) => folder !== path);
        }),
      // The file is closed also when that reports an error.
      close: () => {
        this.handles--;
        return act("close", () => {});
      },
    };
  }

  #makeFolders(path: string): string | undefined {
    const missing: string[] = [];
    for (let at = path; at !== dirname(at) && !this.#names.has(at); at = dirname(at)) {
      missing.unshift(at);
    }
    for (const folder of missing) {
      this.#change(folder, { isFolder: true, data: empty, synced: empty });
    }
    return missing[0];
  }

  #rename(from: string, to: string): void {
    const inode = this.#names.get(from);
    if (inode === undefined) throw fault("ENOENT", from);
    this.#apply({ folder: dirname(to), names: [[from, undefined], [to, inode]] });
  }

  #change(path: string, inode: Inode | undefined): void {
    this.#apply({ folder: dirname(path), names: [[path, inode]] });
  }

  #apply(change: Change): void {
    this.#pending.push(change);
    apply(change, this.#names);
  }
}

const empty = new Uint8Array(0);

/** An error as `node:fs` throws it. */
export function fault(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${path}`), { code });
}

function apply({ names }: Change, to: Map<string, Inode>): void {
  for (const [path, inode] of names) {
    if (inode === undefined) to.delete(path);
    else to.set(path, inode);
  }
}

/** The files whose folders are all there. */
function filesOf(names: Map<string, Inode>): Files {
  const reachable = (path: string): boolean => {
    const folder = dirname(path);
    return folder === dirname(folder) || (names.has(folder) && reachable(folder));
  };
  return new Map(
    [...names].filter(([path, { isFolder }]) => !isFolder && reachable(path))
      .map(([path, { data }]) => [path, data]),
  );
}
