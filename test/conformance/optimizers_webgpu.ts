/** A script: updates of every optimizer on webgpu; prints how far they are off as one JSON line. */
import { selectBackend } from "../../src/backend/select.ts";
import { useWebgpu } from "../support/webgpu.ts";
import { everyOptimizer, knownRuns, type Values } from "./optimizer_runs.ts";

/** What the script prints. */
export interface WebgpuOptimizers {
  /** Why there is no WebGPU; then nothing else is there. */
  readonly skipped?: string;
  /** By type: the largest |difference| / (1 + |value|) from cpu. */
  readonly every: Record<string, number>;
  /** By title of a known trajectory: the same from torch or NumPy in float64. */
  readonly known: Record<string, number>;
}

function error(actual: Values, expected: Values): number {
  if (actual.flat().length !== expected.flat().length) return NaN;
  return expected.flatMap((values, i) =>
    values.map((value, k) => Math.abs(actual[i][k] - value) / (1 + Math.abs(value)))
  ).reduce((a, b) => Math.max(a, b), 0);
}

async function main(): Promise<Partial<WebgpuOptimizers>> {
  await selectBackend("cpu");
  const cpu = await everyOptimizer();
  const skipped = await useWebgpu();
  if (skipped !== undefined) return { skipped };
  const webgpu = await everyOptimizer();
  const known = await knownRuns();
  return {
    every: Object.fromEntries(
      Object.keys(cpu).map((type) => [type, error(webgpu[type], cpu[type])]),
    ),
    known: Object.fromEntries(
      Object.entries(known).map(([title, [expected, run]]) => [title, error(run, expected)]),
    ),
  };
}

console.log(JSON.stringify(await main()));
