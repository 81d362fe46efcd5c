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

  constructor(path: string, rule: string) {
    super(path === "" ? rule : `${path}: ${rule}`);
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

  constructor(iteration: number, what: string) {
    super(`iteration ${iteration}: ${what}`);
    this.iteration = iteration;
  }
}

/**
 * A worker of the run ended, failed or did not answer, and was not to be replaced; the state of the
 * run is whole. The command line exits with 75: the same command resumes.
 */
export class WorkerError extends Error {
  override readonly name = "WorkerError";
}

/** A value as it is quoted in an error: short, on one line, NaN and strings recognisable. */
export function show(value: unknown): string {
  if (typeof value === "function") {
    return value.name === "" ? "a function" : `function ${value.name}`;
  }
  if (typeof value === "bigint") return `${value}n`;
  if (value === null || typeof value !== "object") {
    return typeof value === "string" ? shorten(JSON.stringify(value)) : String(value);
  }
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
  try {
    const text = JSON.stringify(
      value,
      (_, v) => typeof v === "number" && !Number.isFinite(v) ? String(v) : v,
    );
    return shorten(text ?? String(value));
  } catch {
    return "an object";
  }
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

/** A branch that our own types exclude was reached: our bug, exit code 1. */
export function unreachable(what: string): never {
  throw new Error(`internal error: ${what}`);
}
