/**
 * Our wasm kernels beside tfjs' own, which run in a worker with a registry of its own, and beside the
 * fastest register tile on operands that stay in the cache: a group a row, an iteration many calls.
 *
 *     deno bench -A bench/kernels_bench.ts --filter "matMul 512"
 *
 * kernel_table.ts gives medians of rounds that take turns, a call at a time, in three runtimes.
 */
import { selectBackend } from "../src/backend/select.ts";
import { hasFusedRelaxedSimd } from "../src/backend/wasm_features.ts";
import { installKernels } from "../src/kernels/wasm/install.ts";
import { prepared, type Row, ROWS } from "./kernel_rows.ts";
import { type RegisterTile, registerTiles } from "./register_tiles.ts";
import type { Request } from "./stock_kernels_worker.ts";

/** Milliseconds of an iteration of ours, far above a message to the worker. */
const ITERATION_MS = 5;

const worker = new Worker(new URL("./stock_kernels_worker.ts", import.meta.url), {
  type: "module",
});

function ask(request: Request): Promise<readonly number[]> {
  return new Promise((resolve) => {
    worker.onmessage = ({ data }: MessageEvent<readonly number[]>) => resolve(data);
    worker.postMessage(request);
  });
}

/** Calls of an iteration: a product makes some 40 GFLOP/s, anything else an element a nanosecond. */
function callsOf({ work, isProduct }: Row): number {
  const ms = 2e-3 + work / (isProduct ? 40e6 : 1e6);
  return Math.max(1, Math.round(ITERATION_MS / ms));
}

function ours(row: Row, fused: boolean): (bench: Deno.BenchContext) => void {
  return (bench) => {
    installKernels({ fused });
    const run = prepared(row);
    run(); // instantiates the module
    bench.start();
    for (let i = callsOf(row); i > 0; i--) run();
    bench.end();
  };
}

await selectBackend("wasm");
const missing = await ask("missing");
const hasFused = hasFusedRelaxedSimd();
const tile = registerTiles(hasFused).reduce((a: RegisterTile, b) => a.speed > b.speed ? a : b);
ROWS.forEach((row, i) => {
  const calls = callsOf(row);
  const n = row.work > 1e9 ? 5 : 15;
  const group = `${row.name}, ${calls} times`;
  const add = (name: string, fn: (bench: Deno.BenchContext) => void | Promise<void>): void =>
    Deno.bench(
      { name: `${row.name}: ${name}`, group, baseline: name === "ours", n, warmup: 2 },
      fn,
    );
  add("ours", ours(row, false));
  if (hasFused && row.isProduct) add("ours, fused multiply-add", ours(row, true));
  if (!missing.includes(i)) {
    add("tfjs", async (bench) => {
      await ask({ row: i, calls: 1 });
      bench.start();
      await ask({ row: i, calls });
      bench.end();
    });
  }
  if (row.isProduct) {
    add(`register tile ${tile.name}`, () => {
      for (let work = calls * row.work; work > 0; work -= tile.work) tile.run();
    });
  }
});
// Deno runs the groups after this module; a worker that listens would keep it from ending.
globalThis.addEventListener("unload", () => worker.terminate());
