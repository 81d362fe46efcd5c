/**
 * A store in the browser's origin private file system.
 *
 * A write goes to a writable stream, which the browser puts in the file's place when it is closed, as
 * one act. Adding to a file through such a stream copies the whole file, so where there is a sync
 * access handle (in workers only) that is used. The lock is a Web Lock: it ends with its page or worker.
 * https://fs.spec.whatwg.org
 */
import { CheckpointError } from "../core/errors.ts";
import { checkFileName } from "./file_name.ts";
import type { Store, StoreLock } from "./store.ts";

interface SyncAccessHandle {
  getSize(): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

type FileHandle = FileSystemFileHandle & { createSyncAccessHandle?(): Promise<SyncAccessHandle> };

/** Files in a folder of the origin private file system, made on demand; pages and workers. */
export class OpfsStore implements Store {
  readonly location: string;
  readonly #root: () => Promise<FileSystemDirectoryHandle>;

  /**
   * @param folder Folder names joined by `/`, with the rules of file names in a store.
   * @param root The file system; default: that of this origin.
   */
  constructor(
    folder: string,
    root: () => Promise<FileSystemDirectoryHandle> = () => navigator.storage.getDirectory(),
  ) {
    checkFileName(folder);
    this.location = folder;
    this.#root = root;
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return await this.#attempt("read", name, async () => {
      const file = await (await this.#file(name))?.getFile();
      return file && new Uint8Array(await file.arrayBuffer());
    });
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#attempt("write", name, async () => {
      await this.#stream(await this.#newFile(name), false, (file) => file.write(plain(bytes)));
    });
  }

  async append(name: string, bytes: Uint8Array): Promise<void> {
    await this.#attempt("append to", name, async () => {
      const handle = await this.#newFile(name);
      const sync = await handle.createSyncAccessHandle?.();
      if (sync === undefined) {
        const { size } = await handle.getFile();
        await this.#stream(
          handle,
          true,
          (file) => file.write({ type: "write", position: size, data: plain(bytes) }),
        );
        return;
      }
      try {
        for (let done = 0; done < bytes.length;) {
          const taken = sync.write(bytes.subarray(done), { at: sync.getSize() });
          if (taken === 0) throw new Error(`only ${done} of ${bytes.length} bytes were taken`);
          done += taken;
        }
        sync.flush();
      } finally {
        sync.close();
      }
    });
  }

  async truncate(name: string, length: number): Promise<void> {
    await this.#attempt("truncate", name, async () => {
      const handle = await this.#file(name);
      const size = (await handle?.getFile())?.size ?? 0;
      if (length > size) {
        throw new CheckpointError(`${name}: has ${size} bytes, cannot be cut to ${length}`);
      }
      if (handle === undefined || length === size) return;
      await this.#stream(handle, true, (file) => file.truncate(length));
    });
  }

  async remove(name: string): Promise<void> {
    await this.#attempt("remove", name, async () => {
      const [folder, file] = split(name);
      await ifFound(async () => await (await this.#folder(folder, false))?.removeEntry(file));
    });
  }

  async list(folder: string): Promise<string[]> {
    return await this.#attempt("list", folder, async () => {
      const directory = await this.#folder(folder === "" ? [] : folder.split("/"), false);
      const names: string[] = [];
      if (directory === undefined) return names;
      for await (const [name, handle] of directory.entries()) {
        if (handle.kind === "file") names.push(name);
      }
      return names.sort();
    }, folder === "");
  }

  async lock(): Promise<StoreLock> {
    // A lock that was just given back is free a moment later.
    for (let attempt = 0; attempt < 4; attempt++) {
      const release = await this.#request();
      if (release !== undefined) return { check: () => {}, release };
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new CheckpointError(
      `${this.location}: in use by another page or worker; two runs cannot write to one directory`,
    );
  }

  /** Answers how to give the lock back, or undefined if it is taken. */
  async #request(): Promise<(() => void) | undefined> {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => release = resolve);
    return await new Promise((resolve, reject) => {
      navigator.locks.request(`downhill ${this.location}`, { ifAvailable: true }, (lock) => {
        resolve(lock === null ? undefined : release);
        return lock === null ? undefined : held;
      }).catch(reject);
    });
  }

  async #newFile(name: string): Promise<FileHandle> {
    const [folder, file] = split(name);
    return await (await this.#folder(folder, true))!.getFileHandle(file, { create: true });
  }

  async #file(name: string): Promise<FileHandle | undefined> {
    const [folder, file] = split(name);
    const directory = await this.#folder(folder, false);
    return directory && await ifFound(() => directory.getFileHandle(file));
  }

  async #folder(
    path: readonly string[],
    create: boolean,
  ): Promise<FileSystemDirectoryHandle | undefined> {
    return await ifFound(async () => {
      let directory = await this.#root();
      for (const name of [...this.location.split("/"), ...path]) {
        directory = await directory.getDirectoryHandle(name, { create });
      }
      return directory;
    });
  }

  /** Changes a file through a stream; a failure leaves it as it was. */
  async #stream(
    handle: FileHandle,
    keepExistingData: boolean,
    change: (file: FileSystemWritableFileStream) => Promise<void>,
  ): Promise<void> {
    const file = await handle.createWritable({ keepExistingData });
    try {
      await change(file);
    } catch (error) {
      await file.abort().catch(() => {});
      throw error;
    }
    await file.close();
  }

  /** A fault of the browser becomes one line with verb, name and the browser's words. */
  async #attempt<T>(
    verb: string,
    name: string,
    act: () => Promise<T>,
    isRoot = false,
  ): Promise<T> {
    if (!isRoot) checkFileName(name);
    try {
      return await act();
    } catch (error) {
      if (error instanceof CheckpointError) throw error;
      const { name: kind, message } = error as Error;
      throw new CheckpointError(
        `cannot ${verb} ${this.location}/${name}: ${kind}: ${message.split("\n")[0]}`,
        { cause: error },
      );
    }
  }
}

/** Streams take no shared memory. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? bytes as Uint8Array<ArrayBuffer>
    : new Uint8Array(bytes);
}

function split(name: string): [folder: string[], file: string] {
  const parts = name.split("/");
  return [parts.slice(0, -1), parts[parts.length - 1]];
}

/** Undefined where there is no such file or folder. */
async function ifFound<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if ((error as { name?: string } | null)?.name === "NotFoundError") return undefined;
    throw error;
  }
}
