/**
 * Training steps of the six reference workloads (workloads.ts): forward, loss, gradients of every
 * parameter, update. Our wasm kernels and AdamW, in plain tfjs ops and with `nn`, against tfjs' own
 * wasm backend and Adam in a worker, turn by turn, and if asked against PyTorch.
 *
 *     deno run -A bench/steps_bench.ts [workload ...]
 *         --torch "python torch_baseline.py"   a program that prints a line of JSON a workload,
 *                                              { "workload": ..., "median_ms": ..., "min_ms": ... }
 *         --best                               the shortest of many rounds instead of the median: on a
 *                                              shared machine it tells variants apart where the
 *                                              median tells the load
 *         --profile                            time by kernel instead of the comparison
 *         --write FILE                         the table and the machine as Markdown
 *
 * First the losses of both sides after a few steps of plain gradient descent are compared; the cnn,
 * which tfjs' wasm backend cannot train, with its cpu backend.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { selectBackend } from "../src/backend/select.ts";
import * as tf from "../src/tensor/tf.ts";
import { median } from "./alternate.ts";
import { printKernelTimes } from "./kernel_times.ts";
import { lossAfter, type Steps, withAdamW } from "./step_variants.ts";
import type { Answer, Request } from "./stock_worker.ts";
import { type Workload, workloads } from "./workloads.ts";

/** The most steps in a round. */
const MOST_STEPS = 200;
const CHECK_STEPS: Readonly<Record<string, number>> = { cnn: 1, patch_forecaster: 2 };
/** Relative; float32 rounding through a few steps. */
const LOSS_TOLERANCE = 1e-4;

const { values: options, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  strict: false,
  options: {
    torch: { type: "string" },
    best: { type: "boolean" },
    profile: { type: "boolean" },
    write: { type: "string" },
  },
});
const ROUNDS = options.best ? 25 : 9;
/** Milliseconds that a round of steps should take. */
const ROUND_MS = options.best ? 30 : 150;
const wanted = positionals.filter((name) => name in workloads);
const names = wanted.length > 0 ? wanted : Object.keys(workloads);

const worker = new Worker(new URL("./stock_worker.ts", import.meta.url), { type: "module" });

function ask(request: Request): Promise<Answer> {
  return new Promise((resolve) => {
    worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
    worker.postMessage(request);
  });
}

/** The steps of a round, from the first ones' time. */
function stepsFor(msPerStep: number): number {
  return Math.max(1, Math.min(MOST_STEPS, Math.round(ROUND_MS / msPerStep)));
}

interface Variant {
  readonly count: number;
  readonly run: (count: number) => Promise<number>;
}

async function ours(steps: Steps): Promise<Variant> {
  const run = (count: number): Promise<number> => Promise.resolve(steps(count));
  await run(3);
  return { count: stepsFor(await run(2)), run };
}

/** The typical time of each variant over rounds in which they take turns. */
async function measure(variants: Record<string, Variant>): Promise<Record<string, number>> {
  const times: Record<string, number[]> = {};
  const list = Object.entries(variants);
  for (let round = -2; round < ROUNDS; round++) {
    for (const [name, { count, run }] of round % 2 === 0 ? list : list.toReversed()) {
      const ms = await run(count);
      if (round >= 0) (times[name] ??= []).push(ms);
    }
  }
  return Object.fromEntries(
    Object.entries(times).map((
      [name, all],
    ) => [name, options.best ? Math.min(...all) : median(all)]),
  );
}

function assertAlike(what: string, actual: number, expected: number): void {
  const error = Math.abs(actual - expected) / Math.abs(expected);
  if (!(error <= LOSS_TOLERANCE)) throw new Error(`${what}: loss ${actual}, expected ${expected}`);
}

/** Prepares the worker's side and compares the losses of all sides; the reason why stock cannot train. */
async function check(name: string): Promise<string | undefined> {
  const checkSteps = CHECK_STEPS[name] ?? 5;
  let stock = await ask({ prepare: name, checkSteps, backend: "wasm" });
  const { error } = stock;
  if (error !== undefined) stock = await ask({ prepare: name, checkSteps, backend: "cpu" });
  for (const key of ["plain", "fused"] as const) {
    const workload = workloads[name]();
    const loss = workload[key];
    if (loss !== undefined) {
      assertAlike(`${name}, ${key}`, lossAfter(checkSteps, workload, loss), stock.value!);
    }
    tf.dispose(workload.parameters);
  }
  return error;
}

async function timesOf(name: string): Promise<Record<string, number>> {
  const error = await check(name);
  if (error !== undefined) console.error(`${name}: stock cannot train: ${error}`);
  const workload: Workload = workloads[name]();
  const variants: Record<string, Variant> = {
    plain: await ours(withAdamW(workload, workload.plain)),
    ...workload.fused ? { fused: await ours(withAdamW(workload, workload.fused)) } : {},
  };
  if (error === undefined) {
    const run = async (time: number): Promise<number> => (await ask({ time })).value!;
    variants.stock = { count: stepsFor(await run(1)), run };
  }
  return await measure(variants);
}

/** Milliseconds by workload, from the program's lines. */
function torchTimes(command: string): Record<string, number> {
  const [file, ...args] = command.split(" ");
  const { stdout, stderr, status } = spawnSync(file, [...args, "--threads", "1"], {
    encoding: "utf8",
    env: { ...process.env, OMP_NUM_THREADS: "1" },
  });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
  return Object.fromEntries(lines.map((line) => {
    const row = JSON.parse(line) as { workload: string; median_ms: number; min_ms: number };
    return [row.workload, options.best ? row.min_ms : row.median_ms];
  }));
}

function table(times: Record<string, Record<string, number>>): string {
  const ms = (x: number | undefined): string => x === undefined ? "-" : x.toFixed(2);
  const ratio = (x: number | undefined, y: number | undefined): string =>
    x === undefined || y === undefined ? "-" : (x / y).toFixed(1);
  const head = [
    ...[
      "workload",
      "plain ops, ms",
      "with nn, ms",
      "stock tfjs, ms",
      "stock / plain",
      "stock / nn",
    ],
    ...options.torch ? ["PyTorch, 1 thread, ms", "PyTorch / plain", "PyTorch / nn"] : [],
  ];
  const rows = Object.entries(times).map(([name, { plain, fused, stock, torch }]) => [
    ...[name, ms(plain), ms(fused), ms(stock), ratio(stock, plain), ratio(stock, fused)],
    ...options.torch ? [ms(torch), ratio2(torch, plain), ratio2(torch, fused)] : [],
  ]);
  const line = (cells: string[]): string => `| ${cells.join(" | ")} |`;
  return [head, head.map((_, i) => i === 0 ? "---" : "--:"), ...rows].map(line).join("\n");
}

function ratio2(x: number | undefined, y: number): string {
  return x === undefined ? "-" : (x / y).toFixed(2);
}

const { relaxedSimd } = await selectBackend("wasm");
if (options.profile) {
  for (const name of names) {
    const workload = workloads[name]();
    for (const key of ["plain", "fused"] as const) {
      const loss = workload[key];
      if (loss === undefined) continue;
      const steps = withAdamW(workload, loss);
      steps(5);
      console.log(`\n${name}, ${key}`);
      printKernelTimes(steps, Math.max(20, 3 * stepsFor(steps(3))));
    }
  }
} else {
  const times: Record<string, Record<string, number>> = {};
  for (const name of names) {
    try {
      times[name] = await timesOf(name);
    } catch (error) {
      console.error(`${name}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  if (options.torch) {
    const torch = torchTimes(options.torch as string);
    for (const name of Object.keys(times)) times[name].torch = torch[name];
  }
  console.log(table(times));
  if (options.write) {
    const version = (globalThis as { Deno?: { version: { deno: string } } }).Deno?.version.deno;
    const machine = `${os.cpus()[0]?.model}, ${os.cpus().length} cores; ` +
      `${version ? `Deno ${version}` : process.version}; relaxed SIMD ${
        relaxedSimd ? "on" : "off"
      }`;
    const text =
      `# Training steps of the reference workloads\n\n${machine}; ${
        options.best ? "shortest" : "medians"
      } of ${ROUNDS} rounds, ` +
      `written by \`deno run -A bench/steps_bench.ts\`.\n\n${table(times)}\n`;
    writeFileSync(options.write as string, text);
  }
}
worker.terminate();
