/** A script: updates of every optimizer on webgpu; prints how far they are off as one JSON line. */
import { selectBackend } from "../../src/backend/select.ts";
import { type NotFinite, notFinite } from "../support/clip_cases.ts";
import { lbfgsCases, lbfgsRun } from "../support/rosenbrock.ts";
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
  /** L-BFGS by options and closure: the same from torch. */
  readonly lbfgs: Record<string, number>;
  readonly clipping: NotFinite;
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
  const lbfgs: Record<string, number> = {};
  for (const row of lbfgsCases) {
    for (const closure of ["host", "tensors"] as const) {
      let most = 0;
      for await (const { x, expected } of lbfgsRun(row, closure)) {
        most = Math.max(most, error([x], [expected.x]));
      }
      lbfgs[`${closure} ${JSON.stringify(row.params)}`] = most;
    }
  }
  return {
    lbfgs,
    clipping: await notFinite(),
    every: Object.fromEntries(
      Object.keys(cpu).map((type) => [type, error(webgpu[type], cpu[type])]),
    ),
    known: Object.fromEntries(
      Object.entries(known).map(([title, [expected, run]]) => [title, error(run, expected)]),
    ),
  };
}

console.log(JSON.stringify(await main()));
