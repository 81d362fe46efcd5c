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
 * What a header may hold, so that reading one takes no more memory than the file and a constant:
 * bytes before the spaces at its end, tensors and metadata entries together, axes of a tensor.
 */
export const HEADER_LIMITS: {
  readonly bytes: number;
  readonly entries: number;
  readonly axes: number;
} = { bytes: 40_000_000, entries: 100_000, axes: 16 };

/**
 * Parses header bytes.
 *
 * @param where The file, for error messages.
 * @throws {CheckpointError} At the first fault, with its position in the header.
 */
export function parseHeader(bytes: Uint8Array, where: string): Header {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0x20) end--;
  if (end > HEADER_LIMITS.bytes) {
    throw new CheckpointError(
      `${where}: the header must have at most ${HEADER_LIMITS.bytes} bytes before the spaces at ` +
        `its end, received ${end}`,
    );
  }
  let text: string;
  try {
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    text = utf8.decode(bytes.subarray(0, end));
  } catch {
    throw new CheckpointError(`${where}: the header must be UTF-8`);
  }
  return new HeaderParser(text, where).header();
}

const SPACE = 0x20, QUOTE = 0x22, BACKSLASH = 0x5c;

class HeaderParser {
  readonly #text: string;
  readonly #where: string;
  #at = 0;
  #entries = 0;
  /** Of the entry at hand. */
  readonly #fields = new Set<string>();

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
    this.#object((key) => {
      this.#count();
      metadata[key] = this.#string("a string");
    });
    return metadata;
  }

  #entry(name: string): HeaderEntry {
    this.#count();
    this.#fields.clear();
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object((key) => {
      if (key === "dtype") dtype = this.#string("a dtype");
      else if (key === "shape") shape = this.#integers(HEADER_LIMITS.axes);
      else if (key === "data_offsets") offsets = this.#integers(2);
      else this.#fail(`tensor ${show(name)} has an unknown field ${show(key)}`);
    }, this.#fields);
    if (dtype === undefined || shape === undefined || offsets === undefined) {
      this.#fail(`tensor ${show(name)} must have dtype, shape and data_offsets`);
    }
    if (offsets.length !== 2) {
      this.#fail(`data_offsets of ${show(name)} must be 2 integers, received ${offsets.length}`);
    }
    return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
  }

  /** `{ key: value, ... }`; `value` reads one value. */
  #object(value: (key: string) => void, seen: Set<string> = new Set()): void {
    this.#expect("{");
    if (this.#accept("}")) return;
    do {
      const key = this.#string("a key");
      if (seen.has(key)) this.#fail(`key ${show(key)} must not be given twice`);
      seen.add(key);
      this.#expect(":");
      value(key);
    } while (this.#accept(","));
    this.#expect("}");
  }

  /** `[1, 2, ...]`, at most `most`, each an integer in [0, 2^53 - 1] without sign, fraction or exponent. */
  #integers(most: number): number[] {
    const values: number[] = [];
    this.#expect("[");
    if (this.#accept("]")) return values;
    do {
      if (values.length === most) this.#fail(`expected at most ${most} integers`);
      values.push(this.#integer());
    } while (this.#accept(","));
    this.#expect("]");
    return values;
  }

  #integer(): number {
    this.#space();
    const begin = this.#at;
    let at = begin, value = 0;
    for (let digit; (digit = this.#text.charCodeAt(at) - 48) >= 0 && digit <= 9; at++) {
      value = 10 * value + digit;
    }
    const isPadded = at > begin + 1 && this.#text[begin] === "0";
    if (at === begin || isPadded || value > Number.MAX_SAFE_INTEGER) {
      this.#fail("expected an integer in [0, 2^53 - 1]");
    }
    this.#at = at;
    return value;
  }

  #string(what: string): string {
    this.#space();
    const begin = this.#at;
    if (this.#text[begin] !== '"') this.#fail(`expected ${what}`);
    let end = begin + 1, isPlain = true;
    for (let unit; (unit = this.#text.charCodeAt(end)) !== QUOTE; end++) {
      if (Number.isNaN(unit) || unit < SPACE) this.#fail(`${what} is not a JSON string`);
      if (unit === BACKSLASH) {
        isPlain = false;
        end++;
      }
    }
    this.#at = end + 1;
    if (isPlain) return this.#text.slice(begin + 1, end);
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(begin, end + 1));
    } catch {
      this.#fail(`${what} is not a JSON string`);
    }
    if (!value.isWellFormed()) this.#fail(`${what} must be Unicode text without lone surrogates`);
    return value;
  }

  #count(): void {
    if (++this.#entries > HEADER_LIMITS.entries) {
      this.#fail(`expected at most ${HEADER_LIMITS.entries} tensors and metadata entries`);
    }
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
    for (let unit; (unit = this.#text.charCodeAt(this.#at)) <= SPACE; this.#at++) {
      if (unit !== SPACE && unit !== 10 && unit !== 13 && unit !== 9) return;
    }
  }

  #fail(rule: string): never {
    throw new CheckpointError(`${this.#where}: header character ${this.#at}: ${rule}`);
  }
}
