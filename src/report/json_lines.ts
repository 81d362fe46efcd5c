/**
 * A file of JSON objects, one a line: a checkpoint stores its length, a resumed run cuts the file
 * back to that length and so writes every line once.
 */
import { AppendBuffer, type AppendTarget } from "./append_buffer.ts";

/** Lines wait in memory until `flush`. NaN and infinities are written as strings. */
export class JsonLines {
  readonly #buffer: AppendBuffer;

  /** A new file called `name`; where there may be an old one, `resume` comes first. */
  constructor(target: AppendTarget, name: string) {
    this.#buffer = new AppendBuffer(target, name);
  }

  /** Bytes in the file after the last flush. */
  get length(): number {
    return this.#buffer.length;
  }

  /** Bytes in the file once everything that waits is written. */
  get total(): number {
    return this.#buffer.total;
  }

  /** Cuts an existing file to `length` bytes (0 for a new run) and goes on from there. */
  async resume(length: number): Promise<void> {
    await this.#buffer.resume(length);
  }

  write(record: Readonly<Record<string, unknown>>): void {
    const line = `${JSON.stringify(record, nameNonFinite)}\n`;
    this.#buffer.push(new TextEncoder().encode(line));
  }

  /** Appends the waiting lines and resolves to the length of the file; after a failure they wait on. */
  async flush(): Promise<number> {
    return await this.#buffer.flush();
  }
}

/** A replacer for `JSON.stringify`: NaN and infinities as strings, which JSON has no numbers for. */
export function nameNonFinite(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}
