/**
 * The long forms: `npm run test:durability [PART ...]`, all of them in about an hour and a half.
 *
 * Prints what was measured; the figures of RESULTS.md are from here.
 */
import process from "node:process";
import { buildTests } from "../../tools/build_tests.ts";
import { replayCrashes } from "./crash_states.ts";
import { damageAll } from "./damage.ts";
import { failEveryCall, kinds } from "./faults.ts";
import { killAtRandom, killInSave } from "./kills.ts";
import { readMutations } from "./mutations.ts";
import { readerMemory } from "./reader_memory.ts";
import { interruptTwice } from "./pairs.ts";
import { launch } from "./processes.ts";
import { soak } from "./soak.ts";

const runtimes = ["deno", "bun", "node"] as const;

const parts: Record<string, () => Promise<unknown> | unknown> = {
  mutations: () => readMutations(1_000_000, 1),
  memory: () => readerMemory(runtimes),
  damage: () => damageAll(1, 10_000, 2),
  crashes: () => replayCrashes(8),
  faults: async () => {
    const calls: Record<string, number> = {};
    for (const [code, row] of kinds) calls[`${code} x ${row}`] = await failEveryCall(code, row);
    return calls;
  },
  pairs: () => interruptTwice(50, 3),
  inSave: () => killInSave({ runtimes, kills: 60, iterations: 60, seed: 4 }),
  kills: () => killAtRandom({ runtimes, kills: 180, iterations: 120, seed: 5 }),
  soak: () => soak(100_000, "wasm"),
  workerFaults: () => inEach("worker_faults", ["all"]),
  workerKills: () => inEach("worker_kills", ["100", "20", "6"]),
  workerProcessKills: () =>
    killAtRandom({ runtimes, kills: 30, iterations: 120, seed: 7, workers: 2 }),
  workerLeaks: () => inEach("worker_leaks", ["200"]),
};

/** What a script prints in its last line, in each runtime. */
async function inEach(script: string, args: readonly string[]): Promise<Record<string, unknown>> {
  const figures: Record<string, unknown> = {};
  for (const runtime of runtimes) {
    const { status, output } = await launch(runtime, script, args).ended;
    if (status !== 0) throw new Error(`${script} in ${runtime}: ${output}`);
    figures[runtime] = JSON.parse(output.trim().split("\n").at(-1)!);
    console.log(`${script} in ${runtime}: ${JSON.stringify(figures[runtime])}`);
  }
  return figures;
}

const wanted = process.argv.slice(2);
await buildTests();
for (const name of wanted.length > 0 ? wanted : Object.keys(parts)) {
  const began = performance.now();
  const figures = await parts[name]();
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`${name}: ${JSON.stringify(figures)} in ${seconds} s`);
}
