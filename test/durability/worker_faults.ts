/**
 * Workers that are lost in set phases and ways, one after the other: `worker_faults.ts all`, or two lists
 * as JSON, for a run whose callbacks set weights between gradient and update, and for one whose updates
 * are queued behind gradients.
 */
import { strict as assert } from "node:assert";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Fault } from "../support/mortal.ts";
import { type MortalRun, trainMortal } from "../support/mortal_runs.ts";
import { withFolder } from "../support/runs.ts";

/** Every phase and way. Two that strike at the start do not follow each other: both workers may take one. */
const everyFault: readonly Fault[] = [
  { phase: "start", way: "hang" },
  { phase: "gradient", way: "throw", after: 1 },
  { phase: "start", way: "throw" },
  { phase: "barrier", way: "exit" },
  { phase: "start", way: "exit" },
  { phase: "reduce", way: "throw", after: 2 },
  { phase: "gradient", way: "hang", after: 2 },
  { phase: "gradient", way: "exit", access: 20 },
  { phase: "barrier", way: "throw", after: 1 },
  { phase: "barrier", way: "hang", after: 2 },
  { phase: "update", way: "throw", access: 9 },
  { phase: "update", way: "exit", access: 5 },
  { phase: "update", way: "hang", access: 3 },
  { phase: "reduce", way: "exit" },
  { phase: "evaluation", way: "exit", access: 2 },
  { phase: "evaluation", way: "throw", after: 2 },
  { phase: "evaluation", way: "hang", after: 2 },
  { phase: "evaluation", way: "close", access: 3 },
  { phase: "update", way: "close", access: 3 },
  { phase: "gradient", way: "slow", after: 2 },
];

/** What came of it. */
interface FaultFigures {
  struck: number;
  replaced: number;
}

/** Trains with them; the end is that of a run in process. */
async function strikeAll(faults: readonly Fault[], untouched: boolean): Promise<FaultFigures> {
  return await withFolder(async (folder) => {
    const iterations = 4 + 2 * faults.length;
    const plain = await trainMortal(join(folder, "plain"), { workers: 1, iterations, untouched });
    const directory = join(folder, "struck");
    const run = await trainMortal(directory, { faults, iterations, untouched }, (engine) => {
      // Not the half minute; a false alarm on a busy machine is harmless.
      engine.firstLimitMs = 4000;
    });
    assertAlike(run, plain);
    const struck = readdirSync(join(directory, "marks")).length;
    const told = run.lines.filter((line) => line.includes(": replacing the workers ("));
    assert.equal(run.restarts, told.length);
    for (const { phase, way } of faults) {
      const expected = said[way];
      assert.ok(
        expected === undefined || told.some((line) => expected.test(line)),
        `${phase} ${way}`,
      );
    }
    return { struck, replaced: told.length };
  });
}

const said: Partial<Record<Fault["way"], RegExp>> = {
  throw: /^(iteration \d+: )?worker [12]: struck by the test: /,
  exit: /^(iteration \d+: )?worker [12] ended: it exited with code 3: /,
  hang: /^(iteration \d+: )?worker [12] has given no sign of life for \d+\.\d s: /,
};

/** Equal weights and records. */
export function assertAlike(run: MortalRun, plain: MortalRun): void {
  assert.equal(run.error, undefined, run.lines.join("\n"));
  assert.equal(run.summary?.weightsSha256, plain.summary?.weightsSha256);
  assert.equal(run.metrics, plain.metrics);
}

const [which] = process.argv.slice(2);
if (which !== undefined && /worker_faults\.[jt]s$/.test(process.argv[1])) {
  const lists: (readonly Fault[])[] = which === "all"
    ? [everyFault, everyFault]
    : process.argv.slice(2).map((list) => JSON.parse(list));
  const figures: FaultFigures = { struck: 0, replaced: 0 };
  for (const [i, faults] of lists.entries()) {
    const { struck, replaced } = await strikeAll(faults, i === 1);
    assert.equal(struck, faults.length);
    figures.struck += struck;
    figures.replaced += replaced;
  }
  console.log(JSON.stringify(figures));
}
