/** Named components: what a config may name, and nothing else. */
import { ConfigError, show, suggest } from "./errors.ts";
import type { z } from "./options.ts";

/** Something that makes a `T`: a function, or a class taking the same arguments. */
export type Maker<A extends unknown[], T> = ((...args: A) => T) | (new (...args: A) => T);

/** A {@link Maker} that may need time. */
export type Factory<A extends unknown[], T> =
  | ((...args: A) => T | Promise<T>)
  | (new (...args: A) => T);

/** A registered name as an editor may offer it. */
export interface Registered {
  readonly name: string;
  /** Further names of the same entry. */
  readonly aliases: readonly string[];
  /** The schema of its params, where there is one. */
  readonly options: z.ZodObject | undefined;
}

interface Entry<T> extends Registered {
  readonly value: T;
}

/**
 * A table from names to components of one kind.
 *
 * Names are matched exactly first, then in any case, snake or camel; aliases are further names of
 * the same entry. Registering a name twice replaces the entry, so that a module may be imported again.
 */
export class Registry<T> {
  readonly #kind: string;
  readonly #entries = new Map<string, Entry<T>>();
  readonly #folded = new Map<string, string>();
  readonly #isEntry: (value: unknown) => boolean;
  readonly #accepted: string;

  /**
   * @param kind The word used in errors: `optimizer`, `model`, ...
   * @param isEntry What may be registered. Default: functions and classes.
   * @param accepted The same in words.
   */
  constructor(
    kind: string,
    isEntry: (value: unknown) => boolean = isFunction,
    accepted = "a class or function",
  ) {
    this.#kind = kind;
    this.#isEntry = isEntry;
    this.#accepted = accepted;
  }

  /** Adds or replaces `name`. */
  register(name: string, value: T, aliases: readonly string[] = [], options?: z.ZodObject): void {
    if (typeof name !== "string" || !/^[A-Za-z][\w.\-]*$/.test(name)) {
      throw new ConfigError(
        "",
        `cannot register ${
          article(this.#kind)
        }: the name must match [A-Za-z][A-Za-z0-9_.-]*, received ${show(name)}`,
      );
    }
    if (!this.#isEntry(value)) {
      throw new ConfigError(
        "",
        `cannot register the ${this.#kind} ${name}: must be ${this.#accepted}, received ${
          show(value)
        }`,
      );
    }
    this.#entries.set(name, { name, value, aliases, options });
    for (const alias of [...aliases, name]) this.#folded.set(fold(alias), name);
  }

  /** The entry called `name`; `path` is where the name stands in the config. */
  get(name: string, path: string): T {
    const found = this.find(name);
    if (found === undefined) {
      const known = this.registered().map(({ name }) => name);
      throw new ConfigError(path, `unknown ${this.#kind} ${show(name)}${suggest(name, known)}`);
    }
    return found;
  }

  /** The entry called `name`, or undefined. */
  find(name: string): T | undefined {
    return this.#entry(name)?.value;
  }

  /**
   * The entry that `type` names; in a program `type` may be the entry itself.
   *
   * @throws {ConfigError} If it is neither.
   */
  resolve(type: unknown, path: string): T {
    if (typeof type === "string") return this.get(type, path);
    if (this.#isEntry(type)) return type as T;
    throw new ConfigError(
      path,
      `must be a registered name (or, in a program, ${this.#accepted}), received ${show(type)}`,
    );
  }

  /** The schema of the params of `name`, if there is one. */
  options(name: string): z.ZodObject | undefined {
    return this.#entry(name)?.options;
  }

  /** Everything that is registered, by name. */
  registered(): Registered[] {
    return [...this.#entries.values()].sort((a, b) => a.name < b.name ? -1 : 1);
  }

  #entry(name: string): Entry<T> | undefined {
    return this.#entries.get(name) ?? this.#entries.get(this.#folded.get(fold(name)) ?? "");
  }
}

/** The word with its article. */
const article = (word: string): string => `${/^[aeiou]/.test(word) ? "an" : "a"} ${word}`;

/** Calls a factory that is a function, or constructs one that is a class. */
export function make<A extends unknown[], T>(maker: Maker<A, T>, ...args: A): T {
  return isClass(maker)
    ? new (maker as new (...args: A) => T)(...args)
    : (maker as (...args: A) => T)(...args);
}

/** Whether `value` must be called with `new`. */
export function isClass(value: unknown): boolean {
  return isFunction(value) && /^class[\s{]/.test(Function.prototype.toString.call(value));
}

/** `cross_entropy`, `CrossEntropy` -> `crossentropy`. */
export function fold(name: string): string {
  return name.replaceAll(/[_\-\s]/g, "").toLowerCase();
}

function isFunction(value: unknown): value is (...args: never[]) => unknown {
  return typeof value === "function";
}
