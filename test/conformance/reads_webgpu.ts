/** A script: the runs of `reads.ts` on webgpu, by case or (READS=types) by type; prints one JSON line. */
import process from "node:process";
import { useWebgpu } from "../support/webgpu.ts";
import { countReads, type ReadRun, readsOfType, readTypes, webgpuCases } from "./reads.ts";

/** What the script prints. */
export interface WebgpuReads {
  /** Why there is no WebGPU; then nothing else is there. */
  readonly skipped?: string;
  /** By name of the case, or by type of optimizer. */
  readonly runs: Record<string, ReadRun>;
}

async function main(): Promise<Partial<WebgpuReads>> {
  const skipped = await useWebgpu();
  if (skipped !== undefined) return { skipped };
  const runs: Record<string, ReadRun> = {};
  if (process.env.READS === "types") {
    for (const { config } of readTypes) runs[config.type] = await readsOfType("webgpu", config);
  } else {
    for (const [name, train] of webgpuCases) runs[name] = await countReads("webgpu", train);
  }
  return { runs };
}

console.log(JSON.stringify(await main()));
