/**
 * The errors that callers catch, and the sentences they are written in.
 *
 * A message says where (a path), the rule, and the value received, in one line:
 * `optimizer.params.lr: must be a number >= 0, received -1`.
 */

/** The config, the data or an argument is wrong: the command line exits with 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** Dotted path of the offending value, for example `optimizer.params.lr`. */
  readonly path: string;

  constructor(path: string, rule: string, options?: ErrorOptions) {
    super(path === "" ? rule : `${path}: ${rule}`, options);
    this.path = path;
  }
}

/** A data file or data set cannot be used; the message names file, line and column where they exist. */
export class DataError extends Error {
  override readonly name = "DataError";
}

/** A checkpoint or weights file is missing, damaged, or belongs to another run. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
}

/** The loss or the gradient of an iteration is NaN or infinite and the policy is `stop`. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";
  /** The iteration (1-based) whose loss or gradient is not finite. */
  readonly iteration: number;

  constructor(iteration: number, what: string, options?: ErrorOptions) {
    super(`iteration ${iteration}: ${what}`, options);
    this.iteration = iteration;
  }
}

/**
 * The workers of a run ended or hung, more often than they are replaced: the run stops with exit code 75
 * and a checkpoint of its last whole iteration, and can be resumed.
 */
export class WorkerError extends Error {
  override readonly name = "WorkerError";
}

/**
 * Options of an error that comes of another one; of nothing, none: an own `cause` is printed, even if
 * it is undefined.
 */
export function dueTo(cause: unknown): ErrorOptions | undefined {
  return cause === undefined ? undefined : { cause };
}

/**
 * A value as it is quoted in an error: short, on one line, NaN and strings recognisable, arrays of
 * numbers and objects of classes by their class.
 */
export function show(value: unknown): string {
  if (typeof value === "function") {
    return value.name === "" ? "a function" : `function ${value.name}`;
  }
  if (typeof value === "bigint") return `${value}n`;
  if (value === null || typeof value !== "object") {
    return typeof value === "string" ? shorten(JSON.stringify(value)) : String(value);
  }
  const made = ofClass(value);
  if (made !== undefined) return made;
  try {
    const text = JSON.stringify(
      value,
      (_, v) => typeof v === "number" && !Number.isFinite(v) ? String(v) : ofClass(v) ?? v,
    );
    return shorten(text ?? String(value));
  } catch {
    return "an object";
  }
}

/** An object of a class in words; undefined for what is shown by its content. */
function ofClass(value: unknown): string | undefined {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return undefined;
  const { name } = Object.getPrototypeOf(value)?.constructor ?? {};
  const isView = ArrayBuffer.isView(value);
  if (typeof name !== "string" || name === "" || name === "Object") return undefined;
  if ("toJSON" in value && !isView) return undefined;
  const what = `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}`;
  return isView && "length" in value ? `${what} of length ${value.length}` : what;
}

function shorten(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/** The known name nearest to `name` by edit distance, or undefined if none is near. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 2)) + 1;
  for (const candidate of known) {
    const distance = editDistance(fold(name), fold(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** `; did you mean 'x'?` when a known name is near, then the list: the tail of an unknown-name error. */
export function suggest(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  const hint = near === undefined ? "" : `; did you mean '${near}'?`;
  return `${hint}${hint === "" ? ";" : ""} known: ${
    known.length === 0 ? "none" : known.join(", ")
  }`;
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll(/[_\-\s]/g, "");
}

/** Damerau-Levenshtein (optimal string alignment): a swap of neighbours counts as one edit. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let d = Math.min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        d = Math.min(d, before[j - 2] + 1);
      }
      current.push(d);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length];
}

/** The first line of an error's message, without colours. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // deno-lint-ignore no-control-regex
  const plain = text.replaceAll(/\x1b\[[\d;]*m/g, "");
  return plain.split("\n").map((line) => line.trim()).find((line) => line !== "") ??
    "no reason given";
}

/** A branch that our own types exclude was reached: our bug, exit code 1. */
export function unreachable(what: string): never {
  throw new Error(`internal error: ${what}`);
}
