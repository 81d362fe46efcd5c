/**
 * A store in a directory, through `node:fs` in Node, Deno and Bun.
 *
 * A write survives a crash at any instant: the bytes go to a temporary name in the same folder, in
 * a loop because Node and Bun report a full disk first as a short count, are synced, renamed over
 * the old file, and the folder is synced. What a crash leaves behind is a file `NAME.tmp-XXXXXXXX`.
 *
 * The directory itself may be a symbolic link, but none inside it is followed: whoever can write a
 * link there must not make a run write somewhere else. A link that stands where a file is written
 * whole is replaced like a file. (Between the look and the act a link can still be put in place.)
 */
import type * as FileSystem from "node:fs";
import { CheckpointError, oneLine } from "../core/errors.ts";
import { makeFolders } from "../core/folders.ts";
import { fileSystem, pathModule } from "../core/host.ts";
import { checkFileName } from "./file_name.ts";
import { lockFolder } from "./folder_lock.ts";
import type { Store, StoreLock } from "./store.ts";

/** The file operations used: those of `node:fs/promises`. */
export type FileOperations = Pick<
  typeof FileSystem.promises,
  "open" | "mkdir" | "rename" | "rm" | "readdir" | "lstat"
>;

/** Those of the host, with a `mkdir` of its own, which is always recursive. */
function hostFiles(): FileOperations {
  const { open, rename, rm, readdir, lstat } = fileSystem().promises;
  const mkdir = async (path: string): Promise<string | undefined> => await makeFolders(path);
  return { open, rename, rm, readdir, lstat, mkdir: mkdir as FileOperations["mkdir"] };
}

/** The largest single read or write: beyond 2 GiB the runtimes differ. */
const CHUNK_BYTES = 2 ** 30;

/** The names that `write` gives to unfinished files. */
export const TEMPORARY_NAME: RegExp = /\.tmp-[0-9a-f]{8}$/;

/** Files in `directory`, which is made when the first one is written. */
export class FileStore implements Store {
  readonly location: string;
  readonly #operations: FileOperations;

  constructor(directory: string, operations: FileOperations = hostFiles()) {
    this.location = pathModule().resolve(directory);
    this.#operations = operations;
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return await this.#attempt("read", name, async (path) => {
      await this.#refuseLinks(name, "file");
      return await readFile(path, this.#operations);
    });
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#attempt("write", name, async (path) => {
      await this.#refuseLinks(name, "folders");
      await writeFile(path, bytes, this.#operations);
    });
  }

  async append(name: string, bytes: Uint8Array): Promise<void> {
    await this.#attempt("append to", name, async (path) => {
      await this.#refuseLinks(name, "file");
      const folder = pathModule().dirname(path);
      await makeFolder(folder, this.#operations);
      const file = await this.#operations.open(path, "a");
      const isNew = await closing(file, async () => {
        await writeAll(file, bytes);
        await file.sync();
        return (await file.stat()).size === bytes.length;
      });
      if (isNew) await syncFolder(folder, this.#operations);
    });
  }

  async truncate(name: string, length: number): Promise<void> {
    await this.#attempt("truncate", name, async (path) => {
      await this.#refuseLinks(name, "file");
      const file = await openIfThere(path, "r+", this.#operations);
      const size = file === undefined ? 0 : (await file.stat()).size;
      const cut = async (): Promise<void> => {
        if (length > size) {
          throw new CheckpointError(`${path}: has ${size} bytes, cannot be cut to ${length}`);
        }
        await file?.truncate(length);
        await file?.sync();
      };
      await (file === undefined ? cut() : closing(file, cut));
    });
  }

  async remove(name: string): Promise<void> {
    await this.#attempt("remove", name, async (path) => {
      await this.#refuseLinks(name, "folders");
      await this.#operations.rm(path, { force: true });
    });
  }

  async list(folder: string): Promise<string[]> {
    return await this.#attempt("list", folder, async (path) => {
      if (folder !== "") await this.#refuseLinks(`${folder}/`, "folders");
      try {
        const entries = await this.#operations.readdir(path, { withFileTypes: true });
        return entries.filter((entry) => entry.isFile()).map((entry) => entry.name).sort();
      } catch (error) {
        if (code(error) === "ENOENT") return [];
        throw error;
      }
    });
  }

  async lock(log: (line: string) => void): Promise<StoreLock> {
    return await attempt("lock", this.location, async () => {
      const made = await makeFolder(this.location, this.#operations);
      try {
        // A run that was killed here may have made folders and not synced them.
        await syncFolder(pathModule().dirname(this.location), this.#operations);
        await syncFolder(this.location, this.#operations);
        const lock = await lockFolder(this.location, log);
        // A run that was refused before it wrote anything leaves nothing.
        return { ...lock, release: () => (lock.release(), removeEmpty(made)) };
      } catch (error) {
        removeEmpty(made);
        throw error;
      }
    });
  }

  /** Runs `act` on the path of `name`; its folder's is that of the empty name. */
  async #attempt<T>(verb: string, name: string, act: (path: string) => Promise<T>): Promise<T> {
    if (name !== "" || verb !== "list") checkFileName(name);
    const path = pathModule().join(this.location, name);
    return await attempt(verb, path, () => act(path));
  }

  /** Looks at the folders of `name`, and at the file itself, which must be a regular one. */
  async #refuseLinks(name: string, upTo: "folders" | "file"): Promise<void> {
    const parts = name.split("/");
    if (upTo === "folders") parts.pop();
    let path = this.location;
    for (const [i, part] of parts.entries()) {
      path = pathModule().join(path, part);
      const found = await this.#look(path);
      if (found === undefined) return;
      if (found.isSymbolicLink()) {
        throw new Error(`${path} is a symbolic link; none is followed inside a run directory`);
      }
      const isLast = upTo === "file" && i === parts.length - 1;
      if (isLast && !found.isFile()) throw new Error("it is not a regular file");
    }
  }

  /** Undefined if there is nothing. */
  async #look(path: string): Promise<FileSystem.Stats | undefined> {
    try {
      return await this.#operations.lstat(path);
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes(code(error) as string)) return undefined;
      throw error;
    }
  }
}

/** The bytes of the file at `path`, or undefined if there is none. */
export async function readFile(
  path: string,
  operations: FileOperations = hostFiles(),
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return await attempt("read", path, async () => {
    const file = await openIfThere(path, "r", operations);
    if (file === undefined) return undefined;
    return await closing(file, async () => {
      const bytes = new Uint8Array((await file.stat()).size);
      let at = 0;
      while (at < bytes.length) {
        const length = Math.min(CHUNK_BYTES, bytes.length - at);
        const { bytesRead } = await file.read(bytes, at, length, at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return at === bytes.length ? bytes : bytes.slice(0, at);
    });
  });
}

/** Replaces the file at `path` as one act, making its folder if needed. */
export async function writeFile(
  path: string,
  bytes: Uint8Array,
  operations: FileOperations = hostFiles(),
): Promise<void> {
  const folder = pathModule().dirname(path);
  const nonce = crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
  const temporary = `${path}.tmp-${nonce}`;
  await attempt("write", path, async () => {
    await makeFolder(folder, operations);
    try {
      const file = await operations.open(temporary, "wx");
      await closing(file, async () => {
        await writeAll(file, bytes);
        await file.sync();
      });
      await operations.rename(temporary, path);
    } catch (error) {
      await operations.rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
    await syncFolder(folder, operations);
  });
}

async function writeAll(file: FileSystem.promises.FileHandle, bytes: Uint8Array): Promise<void> {
  let at = 0;
  while (at < bytes.length) {
    const length = Math.min(CHUNK_BYTES, bytes.length - at);
    const { bytesWritten } = await file.write(bytes, at, length, null);
    if (bytesWritten === 0) throw new Error(`only ${at} of ${bytes.length} bytes were taken`);
    at += bytesWritten;
  }
}

/**
 * Makes `folder` and those above it that are missing, durably: each is synced into its parent.
 *
 * @returns The folders that were made, the deepest first.
 */
async function makeFolder(folder: string, operations: FileOperations): Promise<string[]> {
  const first = await operations.mkdir(folder, { recursive: true });
  if (first === undefined) return [];
  const { dirname, resolve } = pathModule();
  const top = dirname(resolve(first));
  const made: string[] = [];
  for (let at = resolve(folder); at.length > top.length; at = dirname(at)) {
    await syncFolder(dirname(at), operations);
    made.push(at);
  }
  return made;
}

function removeEmpty(folders: readonly string[]): void {
  try {
    for (const folder of folders) fileSystem().rmdirSync(folder);
  } catch {
    // The first that holds something ends it.
  }
}

/** Makes a rename durable. Windows opens no folders, and its file systems log renames. */
async function syncFolder(folder: string, operations: FileOperations): Promise<void> {
  if (pathModule().sep === "\\") return;
  const handle = await operations.open(folder, "r");
  await closing(handle, () => handle.sync());
}

async function openIfThere(
  path: string,
  flags: string,
  operations: FileOperations,
): Promise<FileSystem.promises.FileHandle | undefined> {
  try {
    return await operations.open(path, flags);
  } catch (error) {
    if (code(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function closing<T>(
  file: FileSystem.promises.FileHandle,
  use: () => Promise<T>,
): Promise<T> {
  try {
    return await use();
  } finally {
    await file.close();
  }
}

/** Runs `act`; a fault of the file system becomes one line with verb, path and the system's words. */
async function attempt<T>(verb: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError(`cannot ${verb} ${path}: ${oneLine(error)}`, { cause: error });
  }
}

function code(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
