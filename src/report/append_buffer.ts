/** Bytes that wait in memory for the end of a file. */

/** What reports need of the place where a run keeps its files; every checkpoint store fulfils it. */
export interface AppendTarget {
  /** Adds to the end of the file, making it if needed. */
  append(name: string, bytes: Uint8Array): Promise<void>;
  /** Cuts the file to `length` bytes. */
  truncate(name: string, length: number): Promise<void>;
}

/**
 * Appends to one file, whose exact length is known after every flush.
 *
 * After a failed flush the bytes wait on, and what was written of them is cut off before the next
 * attempt: a full disk leaves no torn or doubled piece in the file.
 */
export class AppendBuffer {
  readonly #target: AppendTarget;
  readonly #name: string;
  #waiting: Uint8Array[] = [];
  #length = 0;
  #torn = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(target: AppendTarget, name: string) {
    this.#target = target;
    this.#name = name;
  }

  /** Bytes in the file after the last flush. */
  get length(): number {
    return this.#length;
  }

  /** Bytes in the file once everything that waits is written. */
  get total(): number {
    return this.#waiting.reduce((sum, bytes) => sum + bytes.length, this.#length);
  }

  /** Cuts an existing file to `length` bytes and goes on from there. */
  async resume(length: number): Promise<void> {
    await this.#target.truncate(this.#name, length);
    this.#length = length;
    this.#torn = false;
  }

  push(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
  }

  /** Appends what waits and resolves to the length of the file; calls follow one another. */
  flush(): Promise<number> {
    const flushed = this.#last.then(() => this.#drain());
    this.#last = flushed.catch(() => {});
    return flushed;
  }

  async #drain(): Promise<number> {
    if (this.#waiting.length === 0) return this.#length;
    if (this.#torn) await this.resume(this.#length);
    const count = this.#waiting.length;
    const bytes = concatenate(this.#waiting);
    this.#torn = true;
    await this.#target.append(this.#name, bytes);
    this.#torn = false;
    this.#waiting.splice(0, count);
    this.#length += bytes.length;
    return this.#length;
  }
}

/** The parts one after the other. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
