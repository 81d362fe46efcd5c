/** A script: the runs of `reads.ts` on webgpu; prints them as one JSON line. */
import { useWebgpu } from "../support/webgpu.ts";
import { countReads, readCases, type ReadRun, readTypes } from "./reads.ts";

/** What the script prints. */
export interface WebgpuReads {
  /** Why there is no WebGPU; then nothing else is there. */
  readonly skipped?: string;
  readonly runs: Record<string, ReadRun>;
  /** By type of optimizer. */
  readonly types: Record<string, ReadRun>;
}

async function main(): Promise<Partial<WebgpuReads>> {
  const skipped = await useWebgpu();
  if (skipped !== undefined) return { skipped };
  const runs: Record<string, ReadRun> = {};
  for (const [name, train] of Object.entries(readCases)) {
    runs[name] = await countReads("webgpu", train);
  }
  const types: Record<string, ReadRun> = {};
  for (const { config } of readTypes) types[config.type] = await countReads("webgpu", {}, config);
  return { runs, types };
}

console.log(JSON.stringify(await main()));
