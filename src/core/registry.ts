/** Named components: what a config may name, and nothing else. */
import { ConfigError, show, suggest } from "./errors.ts";

/** Something that makes a `T`: a function, or a class taking the same arguments. */
export type Factory<A extends unknown[], T> =
  | ((...args: A) => T | Promise<T>)
  | (new (...args: A) => T);

/**
 * A table from names to components of one kind.
 *
 * Names are matched exactly first, then without regard to case; aliases are further names of the
 * same entry. Registering a name twice replaces the entry, so that a module may be imported again.
 */
export class Registry<T> {
  readonly #kind: string;
  readonly #entries = new Map<string, T>();
  readonly #aliases = new Map<string, string>();

  readonly #isEntry: (value: unknown) => boolean;

  /**
   * @param kind The word used in errors: `optimizer`, `model`, ...
   * @param isEntry What may be registered. Default: functions and classes.
   */
  constructor(
    kind: string,
    isEntry: (value: unknown) => boolean = (value) => typeof value === "function",
  ) {
    this.#kind = kind;
    this.#isEntry = isEntry;
  }

  /** Adds or replaces `name`. */
  register(name: string, entry: T, aliases: readonly string[] = []): void {
    if (typeof name !== "string" || !/^[A-Za-z][\w.\-]*$/.test(name)) {
      throw new ConfigError(
        "",
        `cannot register a ${this.#kind}: the name must match [A-Za-z][A-Za-z0-9_.-]*, received ${
          show(name)
        }`,
      );
    }
    if (!this.#isEntry(entry)) {
      throw new ConfigError(
        "",
        `cannot register the ${this.#kind} ${name}: must be a class or function, received ${
          show(entry)
        }`,
      );
    }
    this.#entries.set(name, entry);
    for (const alias of aliases) this.#aliases.set(alias.toLowerCase(), name);
    this.#aliases.set(name.toLowerCase(), name);
  }

  /** The entry called `name`; `path` is where the name stands in the config. */
  get(name: string, path: string): T {
    const found = this.find(name);
    if (found === undefined) {
      throw new ConfigError(
        path,
        `unknown ${this.#kind} ${show(name)}${suggest(name, this.names())}`,
      );
    }
    return found;
  }

  /** The entry called `name`, or undefined. */
  find(name: string): T | undefined {
    const exact = this.#entries.get(name);
    if (exact !== undefined) return exact;
    const canonical = this.#aliases.get(name.toLowerCase());
    return canonical === undefined ? undefined : this.#entries.get(canonical);
  }

  /** The registered spelling of `name` (itself when it is not registered). */
  canonical(name: string): string {
    return this.#entries.has(name) ? name : this.#aliases.get(name.toLowerCase()) ?? name;
  }

  /** The canonical names, sorted. */
  names(): string[] {
    return [...this.#entries.keys()].sort();
  }
}

/** Calls a factory that is a function, or constructs one that is a class. */
export function make<A extends unknown[], T>(factory: Factory<A, T>, ...args: A): T | Promise<T> {
  return isClass(factory)
    ? new (factory as new (...args: A) => T)(...args)
    : (factory as (...args: A) => T | Promise<T>)(...args);
}

/** Whether `value` must be called with `new`. */
export function isClass(value: unknown): boolean {
  return typeof value === "function" && /^class[\s{]/.test(Function.prototype.toString.call(value));
}
