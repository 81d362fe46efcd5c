/** What the test runners print: the closing counts of `deno test`, `bun test` and `node --test`. */

/** Results of a test run. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const denoClosing = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?:.*?\| (\d+) ignored)?/;

/** The counts in a runner's output, or undefined if it has no closing line. */
export function readCounts(lines: readonly string[]): Counts | undefined {
  for (const line of lines.toReversed()) {
    const match = denoClosing.exec(line);
    if (match !== null) {
      return { passed: +match[1], failed: +match[2], skipped: +(match[3] ?? 0) };
    }
  }
  return nodeCounts(lines) ?? bunCounts(lines);
}

const passing: readonly RegExp[] = [
  / \.\.\. ok \(.*\)$/, // deno
  /^\(pass\) /, // bun
  /^\s*✔ .*ms\)$/, // node
];

/** The banner of tfjs' cpu backend, which most test files load as it is. */
const banner = /^=+$|^Hi, looks like you are running TensorFlow\.js in Node\.js\./;

/** Whether a line only says that a test passed, or is a banner. */
export function isNoise(line: string): boolean {
  return banner.test(line) || passing.some((pattern) => pattern.test(line));
}

/** `ℹ pass 12`, one line a kind. */
function nodeCounts(lines: readonly string[]): Counts | undefined {
  const last = (kind: string): number | undefined => lastNumber(lines, `^ℹ ${kind} (\\d+)$`);
  const passed = last("pass");
  if (passed === undefined) return undefined;
  return {
    passed,
    failed: (last("fail") ?? 0) + (last("cancelled") ?? 0),
    skipped: (last("skipped") ?? 0) + (last("todo") ?? 0),
  };
}

/** ` 12 pass`, one line a kind, kinds of zero tests left out; `Ran 12 tests across 3 files.` at the end. */
function bunCounts(lines: readonly string[]): Counts | undefined {
  if (!lines.some((line) => /^Ran \d+ tests? across/.test(line))) return undefined;
  const last = (kind: string): number => lastNumber(lines, `^ *(\\d+) ${kind}$`) ?? 0;
  // An `error` is an exception outside any test; Bun may count it under `fail` as well.
  return {
    passed: last("pass"),
    failed: Math.max(last("fail"), last("error")),
    skipped: last("skip") + last("todo"),
  };
}

function lastNumber(lines: readonly string[], pattern: string): number | undefined {
  const match = lines.map((line) => new RegExp(pattern).exec(line)).findLast((m) => m !== null);
  return match === undefined || match === null ? undefined : Number(match[1]);
}
