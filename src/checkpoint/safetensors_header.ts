/**
 * The JSON header of a safetensors file, parsed by its own grammar.
 *
 * `JSON.parse` keeps the last of two equal keys, rounds integers above 2^53 and nests without
 * limit; this parser knows the one shape a header may have, refuses duplicates at every level, and
 * collects names in objects without a prototype, so that `__proto__` is a name like any other.
 */
import { CheckpointError, show } from "../core/errors.ts";

/** One entry of the header: the fields as written, not yet checked against the data. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: number[];
  /** First byte and the byte after the last, counted from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

/** A parsed header. */
export interface Header {
  readonly entries: HeaderEntry[];
  readonly metadata: Record<string, string>;
}

/** The key that holds the file's metadata; no tensor may have this name. */
export const METADATA_KEY: string = "__metadata__";

/**
 * Parses header bytes.
 *
 * @param where The file, for error messages.
 * @throws {CheckpointError} At the first fault, with its position in the header.
 */
export function parseHeader(bytes: Uint8Array, where: string): Header {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CheckpointError(`${where}: the header must be UTF-8`);
  }
  return new HeaderParser(text, where).header();
}

class HeaderParser {
  readonly #text: string;
  readonly #where: string;
  #at = 0;

  constructor(text: string, where: string) {
    this.#text = text;
    this.#where = where;
  }

  header(): Header {
    const entries: HeaderEntry[] = [];
    let metadata: Record<string, string> = Object.create(null);
    this.#object((key) => {
      if (key === METADATA_KEY) metadata = this.#metadata();
      else entries.push(this.#entry(key));
    });
    this.#space();
    if (this.#at !== this.#text.length) this.#fail("must end after the closing '}'");
    return { entries, metadata };
  }

  #metadata(): Record<string, string> {
    const metadata: Record<string, string> = Object.create(null);
    this.#space();
    if (this.#text.startsWith("null", this.#at)) {
      this.#at += 4;
      return metadata;
    }
    this.#object((key) => metadata[key] = this.#string("a string"));
    return metadata;
  }

  #entry(name: string): HeaderEntry {
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object((key) => {
      if (key === "dtype") dtype = this.#string("a dtype");
      else if (key === "shape") shape = this.#integers();
      else if (key === "data_offsets") offsets = this.#integers();
      else this.#fail(`tensor ${show(name)} has an unknown field ${show(key)}`);
    });
    if (dtype === undefined || shape === undefined || offsets === undefined) {
      this.#fail(`tensor ${show(name)} must have dtype, shape and data_offsets`);
    }
    if (offsets.length !== 2) {
      this.#fail(`data_offsets of ${show(name)} must be 2 integers, received ${offsets.length}`);
    }
    return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
  }

  /** `{ key: value, ... }`; `value` reads one value. */
  #object(value: (key: string) => void): void {
    this.#expect("{");
    if (this.#accept("}")) return;
    const seen = new Set<string>();
    do {
      const key = this.#string("a key");
      if (seen.has(key)) this.#fail(`key ${show(key)} must not be given twice`);
      seen.add(key);
      this.#expect(":");
      value(key);
    } while (this.#accept(","));
    this.#expect("}");
  }

  /** `[1, 2, ...]`, each an integer in [0, 2^53 - 1] without sign, fraction or exponent. */
  #integers(): number[] {
    const values: number[] = [];
    this.#expect("[");
    if (this.#accept("]")) return values;
    do {
      this.#space();
      const pattern = /(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y;
      pattern.lastIndex = this.#at;
      const token = pattern.exec(this.#text)?.[0];
      const value = Number(token);
      if (token === undefined || !Number.isSafeInteger(value)) {
        this.#fail("expected an integer in [0, 2^53 - 1]");
      }
      this.#at += token.length;
      values.push(value);
    } while (this.#accept(","));
    this.#expect("]");
    return values;
  }

  #string(what: string): string {
    this.#space();
    if (this.#text[this.#at] !== '"') this.#fail(`expected ${what}`);
    let end = this.#at + 1;
    while (end < this.#text.length && this.#text[end] !== '"') {
      end += this.#text[end] === "\\" ? 2 : 1;
    }
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(this.#at, end + 1));
    } catch {
      this.#fail(`${what} is not a JSON string`);
    }
    if (!value.isWellFormed()) this.#fail(`${what} must be Unicode text without lone surrogates`);
    this.#at = end + 1;
    return value;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) this.#fail(`expected '${character}'`);
  }

  #accept(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    while (" \n\r\t".includes(this.#text[this.#at] ?? "x")) this.#at++;
  }

  #fail(rule: string): never {
    throw new CheckpointError(`${this.#where}: header character ${this.#at}: ${rule}`);
  }
}
