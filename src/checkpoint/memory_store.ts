/** A store in memory: for browsers, tests, and runs that leave nothing behind. */
import { CheckpointError } from "../core/errors.ts";
import { checkFileName } from "./file_name.ts";
import type { Store, StoreLock } from "./store.ts";

/** Files in a map. What goes in and what comes out are copies. */
export class MemoryStore implements Store {
  readonly location: string = "memory";
  #locked = false;
  readonly #files = new Map<string, Uint8Array<ArrayBuffer>>();

  // deno-lint-ignore require-await
  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    checkFileName(name);
    return this.#files.get(name)?.slice();
  }

  // deno-lint-ignore require-await
  async write(name: string, bytes: Uint8Array): Promise<void> {
    checkFileName(name);
    this.#files.set(name, new Uint8Array(bytes));
  }

  // deno-lint-ignore require-await
  async append(name: string, bytes: Uint8Array): Promise<void> {
    checkFileName(name);
    const old = this.#files.get(name) ?? new Uint8Array(0);
    const whole = new Uint8Array(old.length + bytes.length);
    whole.set(old);
    whole.set(bytes, old.length);
    this.#files.set(name, whole);
  }

  // deno-lint-ignore require-await
  async truncate(name: string, length: number): Promise<void> {
    checkFileName(name);
    const old = this.#files.get(name);
    const size = old?.length ?? 0;
    if (length > size) {
      throw new CheckpointError(`${name}: has ${size} bytes, cannot be cut to ${length}`);
    }
    if (old !== undefined) this.#files.set(name, old.slice(0, length));
  }

  // deno-lint-ignore require-await
  async remove(name: string): Promise<void> {
    checkFileName(name);
    this.#files.delete(name);
  }

  // deno-lint-ignore require-await
  async list(folder: string): Promise<string[]> {
    if (folder !== "") checkFileName(folder);
    const prefix = folder === "" ? "" : `${folder}/`;
    return [...this.#files.keys()]
      .filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes("/"))
      .map((name) => name.slice(prefix.length))
      .sort();
  }

  // deno-lint-ignore require-await
  async lock(): Promise<StoreLock> {
    if (this.#locked) throw new CheckpointError("memory: in use by another run");
    this.#locked = true;
    return { check: () => {}, release: () => void (this.#locked = false) };
  }
}
