/**
 * Our wasm kernels beside tfjs' own, in one process, turn by turn.
 *
 *     deno run -A bench/kernel_table.ts [part of a row's name ...]
 *     bun bench/kernel_table.ts
 *         --best           the best of many short rounds instead of the median: on a shared machine it
 *                          tells kernels apart where medians tell the load
 *         --write FILE     adds a section with medians and best rounds to a page of Markdown; a section
 *                          of the same runtime is replaced
 *
 * A row has figures of tfjs' kernels, ours, and ours with fused multiply-add where the runtime has
 * it, as GFLOP/s of products and as nanoseconds an element of everything else. A product is also
 * compared with the fastest register tile on operands that stay in the cache, timed in the same
 * rounds: what it can reach.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { hasFusedRelaxedSimd } from "../src/backend/wasm_features.ts";
import { installKernels, uninstallKernels } from "../src/kernels/wasm/install.ts";
import * as tf from "../src/tensor/tf.ts";
import { useBackend } from "../test/support/backend.ts";
import { type Row, ROWS } from "./kernel_rows.ts";
import { type RegisterTile, registerTiles, time } from "./register_tiles.ts";

const { values: options, positionals: wanted } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: { best: { type: "boolean" }, write: { type: "string" } },
});
const isBest = options.best ?? false;
const isShort = isBest || options.write !== undefined;
const ROUNDS = isShort ? 60 : 7;
const ROUND_MS = isShort ? 2 : 25;
/** Milliseconds for the rounds of a variant, of which there are at least three. */
const LIMIT_MS = isShort ? 1000 : 200;
const hasFused = hasFusedRelaxedSimd();

/** How many calls fill a round, and how many rounds fit the time for a row. */
function planOf(run: () => void): { calls: number; rounds: number } {
  run();
  const once = Math.max(time(run, 1), 1e-3);
  const calls = Math.max(1, Math.min(5000, Math.round(ROUND_MS / once)));
  const rounds = Math.max(3, Math.min(ROUNDS, Math.round(LIMIT_MS / (calls * once))));
  return { calls, rounds };
}

const medianOf = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
const bestOf = (values: readonly number[]): number => Math.min(...values);
type Statistic = typeof bestOf;

/** tfjs' kernels, ours, and ours with fused multiply-add; `use` switches to them. */
const VARIANTS: readonly (readonly [string, () => void])[] = [
  ["tfjs", () => uninstallKernels()],
  ["ours", () => installKernels({ fused: false })],
  ...hasFused ? [["fused", () => installKernels({ fused: true })] as const] : [],
];

/** A row's milliseconds a call, by variant; and those of the tiles, for the products of that size. */
interface Result {
  readonly row: Row;
  readonly times: readonly number[][];
  readonly tiles: readonly number[][];
}

function measure(row: Row, tiles: readonly RegisterTile[]): Result {
  const times = VARIANTS.map((): number[] => []);
  const tileTimes = tiles.map((): number[] => []);
  tf.engine().startScope(row.name);
  const run = row.prepare();
  const plans = VARIANTS.map(([, use]) => {
    use();
    try {
      return planOf(run);
    } catch (error) {
      // tfjs has no such kernel.
      if (!`${error}`.includes("not registered")) throw error;
      return { calls: 0, rounds: 0 };
    }
  });
  for (let round = 0; round < ROUNDS; round++) {
    VARIANTS.forEach(([, use], v) => {
      const { calls, rounds } = plans[v];
      if (round >= rounds) return;
      use();
      run(); // instantiates the module
      times[v].push(time(run, calls));
    });
    if (row.isProduct) {
      tiles.forEach((tile, i) => tileTimes[i].push(row.work * time(tile.run, 300) / tile.work));
    }
  }
  tf.engine().endScope();
  return { row, times, tiles: tileTimes };
}

/** Figures of one row: variants, how many times faster ours is, and its share of the tile. */
function cells({ row, times, tiles }: Result, typical: Statistic): string[] {
  const { work, isProduct } = row;
  const figure = (ms: number): string =>
    Number.isFinite(ms) ? (isProduct ? work / ms / 1e6 : ms * 1e6 / work).toFixed(2) : "-";
  const ms = times.map(typical);
  const ours = ms[ms.length - 1];
  const tile = bestOf(tiles.map(typical));
  return [
    ...ms.map(figure),
    Number.isFinite(ms[0]) ? `${(ms[0] / ours).toFixed(1)}x` : "-",
    Number.isFinite(tile) ? `${(100 * tile / ours).toFixed(0)} %` : "",
  ];
}

const heads = [...VARIANTS.map(([name]) => name), "times", "of the tile"];

/** A table of the products or of everything else. */
function table(results: readonly Result[], isProduct: boolean): string {
  const list = results.filter(({ row }) => row.isProduct === isProduct);
  if (list.length === 0) return "";
  const columns = isProduct ? heads : heads.slice(0, -1);
  const line = (texts: readonly string[]): string => `| ${texts.join(" | ")} |`;
  const unit = isProduct ? "GFLOP/s" : "ns an element";
  return [
    line([
      unit,
      ...columns.map((head) => `${head}, best`),
      ...columns.map((head) => `${head}, median`),
    ]),
    line(["---", ...[...columns, ...columns].map(() => "--:")]),
    ...list.map((result) =>
      line([
        result.row.name,
        ...cells(result, bestOf).slice(0, columns.length),
        ...cells(result, medianOf).slice(0, columns.length),
      ])
    ),
    "",
  ].join("\n");
}

/** Puts this runtime's section into the page. */
function write(file: string, results: readonly Result[]): void {
  const versions = process.versions as Record<string, string | undefined>;
  const name = ["deno", "bun", "node"].find((key) => versions[key] !== undefined)!;
  const title = `## ${name[0].toUpperCase()}${name.slice(1)} ${versions[name]}`;
  const old = existsSync(file) ? readFileSync(file, "utf8").split(/^(?=## )/m) : [];
  const page = old.length > 0 ? old : [
    "# The wasm kernels beside tfjs' own\n\nWritten by `deno run -A bench/kernel_table.ts --write` " +
    "and the same in Bun and Node.\n\n",
  ];
  const text = `${title}\n\n${os.cpus()[0]?.model}; ${ROUNDS} rounds at most.\n\n` +
    `${table(results, true)}\n${table(results, false)}\n`;
  const kept = page.filter((part) => part.split(" ")[1] !== title.split(" ")[1]);
  writeFileSync(file, [...kept, text].join(""));
}

await useBackend("wasm");
/** The fastest tile of the plain or the fused module; all of them are printed. */
function fastestOf(isFused: boolean): RegisterTile {
  const all = registerTiles(isFused);
  const figures = all.map(({ name, speed }) => `${name} ${speed.toFixed(1)}`).join("  ");
  console.log(`tiles${isFused ? ", fused" : ""}: ${figures} GFLOP/s`);
  return all.toSorted((a, b) => b.speed - a.speed)[0];
}

const tiles = hasFused ? [fastestOf(false), fastestOf(true)] : [fastestOf(false)];
console.log(["".padEnd(60), ...heads.map((name) => name.padStart(12))].join(""));
const results: Result[] = [];
for (const row of ROWS) {
  if (wanted.length > 0 && !wanted.some((text) => row.name.includes(text))) continue;
  const result = measure(row, tiles);
  results.push(result);
  const figures = cells(result, isBest ? bestOf : medianOf).map((figure) => figure.padStart(12));
  console.log(
    `${row.name.padEnd(60)}${figures.join("")} ${row.isProduct ? "GFLOP/s" : "ns/element"}`,
  );
}
if (options.write !== undefined) write(options.write, results);
