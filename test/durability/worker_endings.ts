/**
 * Runs with workers that end in the middle, in a process that has to end by itself afterwards:
 * `worker_endings.ts FOLDER`. Prints how each ended, and the threads left at the end.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Callback, IterationRunner } from "../../mod.ts";
import type { Fault } from "../support/mortal.ts";
import { createMortal, mortalConfig, type MortalOptions } from "../support/mortal_runs.ts";

interface Ending {
  readonly options: MortalOptions;
  readonly callback?: Callback;
  /** Disposes of the run while it trains. */
  during?(run: IterationRunner, marks: string): Promise<void>;
  readonly trains?: false;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A run that is disposed of when a worker has come to a fault. */
const disposedAt = (fault: Fault): Ending => ({
  options: { faults: [fault], iterations: 1e6 },
  during: async (run, marks) => {
    await until(() => existsSync(join(marks, "0-0")));
    run.dispose();
  },
});

const endings: Record<string, Ending> = {
  "not trained": { options: {}, trains: false },
  "starting": disposedAt({ phase: "start", way: "slow" }),
  "computing": {
    options: { iterations: 1e6 },
    during: async (run) => {
      await until(() => run.state.iteration > 2);
      run.dispose();
    },
  },
  "hanging": disposedAt({ phase: "update", way: "hang", after: 3 }),
  "evaluating": disposedAt({ phase: "evaluation", way: "slow", after: 4 }),
  "between gradient and update": {
    options: {},
    callback: {
      name: "ProgressBar",
      gradients(value, run) {
        if (run.state.iteration === 3) (run as IterationRunner).dispose();
        return value;
      },
    },
  },
  "failed": {
    options: { faults: [{ phase: "gradient", way: "throw", after: 4 }], maxWorkerRestarts: 0 },
  },
  "broken by a hook": {
    options: {},
    callback: {
      name: "ProgressBar",
      updateEnd() {
        throw new Error("enough");
      },
    },
  },
};

async function main(folder: string): Promise<void> {
  for (const [name, { options, callback, during, trains = true }] of Object.entries(endings)) {
    const directory = join(folder, name.replaceAll(" ", "-"));
    const config = mortalConfig(directory, options);
    const callbacks = callback === undefined ? [] : [callback];
    const { run } = await createMortal({ ...config, callbacks });
    let how = "";
    if (trains) {
      const training = run.train().then(
        ({ finished }) => finished,
        (error: Error) => `${error.name}: ${error.message}`,
      );
      await during?.(run, join(directory, "marks"));
      how = await training;
    }
    run.dispose();
    run.dispose();
    console.log(JSON.stringify({ name, how }));
  }
  console.log(JSON.stringify({ name: "threads", how: threads() }));
}

/** Threads of this process; 0 where that is not told. */
function threads(): number {
  return existsSync("/proc/self/task") ? readdirSync("/proc/self/task").length : 0;
}

const [folder] = process.argv.slice(2);
if (folder !== undefined && /worker_endings\.[jt]s$/.test(process.argv[1])) await main(folder);
