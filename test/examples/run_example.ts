/** Runs the config of an example on little data, through the command line's own `main`. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Summary } from "../../mod.ts";
import { main } from "../../src/config/command_line.ts";
import "../../src/model/models.ts";
import { root } from "../support/root.ts";
import { Lines, withFolder } from "../support/runs.ts";

/** What a run left behind. */
export interface ExampleRun {
  readonly summary: Summary;
  /** The losses of the training log, in order. */
  readonly losses: number[];
  /** What was printed. */
  readonly lines: string[];
}

/**
 * `downhill train examples/<config>` with every iteration logged, and one batch of validation and
 * test, unless `settings` (config paths with their values) say otherwise.
 *
 * @param imports Paths of modules for `--import`.
 */
export function runExample(
  config: string,
  settings: Readonly<Record<string, unknown>>,
  imports: readonly string[] = [],
): Promise<ExampleRun> {
  return withFolder(async (folder) => {
    const all = {
      name: "example",
      backend: "wasm",
      "checkpoint.directory": folder,
      "log.interval": 1,
      "log.progress": false,
      "validation.limitBatches": 1,
      "test.limitBatches": 1,
      ...settings,
    };
    const output = new Lines();
    const code = await main([
      "train",
      join(root, "examples", config),
      ...Object.entries(all).flatMap(([path, v]) => ["--set", `${path}=${JSON.stringify(v)}`]),
      ...imports.flatMap((path) => ["--import", path]),
    ], output);
    assert.equal(code, 0, output.lines.join("\n"));
    const read = (name: string) => readFileSync(join(folder, "example", name), "utf8");
    const records = read("metrics.jsonl").trim().split("\n").map((line) => JSON.parse(line));
    return {
      summary: JSON.parse(read("summary.json")) as Summary,
      losses: records.filter(({ phase }) => phase === "train").map(({ loss }) => loss),
      lines: output.lines,
    };
  });
}

/** The path of ETTh1.csv, undefined where it is not, which is said in a line. */
export function findEtth1(exists: (path: string) => boolean): string | undefined {
  const paths = ["examples/forecasting/ETTh1.csv", "../shared/data/ETTh1.csv"];
  const found = paths.map((path) => join(root, path)).find(exists);
  if (found === undefined) console.log(`skipped: none of ${paths.join(", ")}`);
  return found;
}
