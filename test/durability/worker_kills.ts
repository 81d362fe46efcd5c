/**
 * Workers terminated at random instants: `worker_kills.ts KILLS UPDATES SEED`, of which UPDATES inside an
 * update, in the runtime that runs this.
 *
 * Node and Bun interrupt a thread wherever it is, so there it is ended from outside. Deno does not: there
 * the worker ends itself, at an access to the shared memory drawn at random.
 */
import { strict as assert } from "node:assert";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Worker } from "node:worker_threads";
import { runtime, workerThreads } from "../../src/core/host.ts";
import { Arena } from "../../src/parallel/arena.ts";
import { UPDATE } from "../../src/parallel/protocol.ts";
import { Team } from "../../src/parallel/team.ts";
import type { Fault } from "../support/mortal.ts";
import { type MortalRun, trainMortal } from "../support/mortal_runs.ts";
import { withFolder } from "../support/runs.ts";
import { Draws } from "./draws.ts";
import { assertAlike } from "./worker_faults.ts";

/** Counts of what was done; every run has ended as the one in process. */
export interface WorkerKillFigures {
  kills: number;
  runs: number;
  /** Kills that broke an update off. */
  updates: number;
  replaced: number;
}

/** How many, and the seed of their instants. */
export interface WorkerKillPlan {
  readonly kills: number;
  readonly updates: number;
  readonly seed: number;
}

/** Of a run; each costs a start. */
const KILLS_OF_RUN = 10;
const ITERATIONS = 24;
/** So many parameters that an update takes some milliseconds. */
const HIDDEN = [768, 768];

/** Kills, and compares with a run in process. */
export async function killWorkers(plan: WorkerKillPlan): Promise<WorkerKillFigures> {
  const draws = new Draws(plan.seed);
  const figures: WorkerKillFigures = { kills: 0, runs: 0, updates: 0, replaced: 0 };
  const way = runtime === "deno" ? strikeFromInside : killFromOutside;
  await withFolder(async (folder) => {
    const kinds: { common: Common; plain: MortalRun }[] = [];
    for (const untouched of [false, true]) {
      const common = { iterations: ITERATIONS, hidden: HIDDEN, untouched };
      const directory = join(folder, `plain-${untouched}`);
      kinds.push({ common, plain: await trainMortal(directory, { ...common, workers: 1 }) });
    }
    while (figures.kills < plan.kills || figures.updates < plan.updates) {
      const { common, plain } = kinds[figures.runs % 2];
      const run = await way(join(folder, `run-${figures.runs}`), plan, figures, draws, common);
      assertAlike(run, plain);
      figures.runs++;
      figures.replaced += run.restarts ?? 0;
      if (plan.kills > 20) console.error(JSON.stringify(figures));
    }
  });
  return figures;
}

type Common = { iterations: number; hidden: number[]; untouched: boolean };

type Way = (
  folder: string,
  plan: WorkerKillPlan,
  figures: WorkerKillFigures,
  draws: Draws,
  common: Common,
) => Promise<MortalRun>;

const PHASES = ["start", "gradient", "barrier", "reduce", "evaluation"] as const;

/** Exits of the worker itself. */
const strikeFromInside: Way = async (folder, plan, figures, draws, common) => {
  const left = Math.max(plan.kills - figures.kills, plan.updates - figures.updates);
  const faults = Array.from({ length: Math.min(KILLS_OF_RUN, left) }, (_, i): Fault => {
    const rest = (plan.updates - figures.updates) / left;
    const phase = draws.unit() < rest ? "update" : draws.pick(PHASES);
    const most =
      { start: 1, gradient: 60, barrier: 1, reduce: 12, update: 30, evaluation: 6 }[phase];
    // Not twice in a row at the start, where both workers may take one.
    const after = phase === "start" ? 0 : i === 0 ? draws.below(4) : draws.below(3);
    return { phase, way: "exit", after, access: 1 + draws.below(most) };
  });
  const run = await trainMortal(folder, { ...common, faults });
  const struck = readdirSync(join(folder, "marks")).map((mark) => faults[parseInt(mark)].phase);
  figures.kills += struck.length;
  figures.updates += struck.filter((phase) => phase === "update").length;
  return run;
};

/** `terminate()` of threads, at random times, and at random times after the command for an update. */
const killFromOutside: Way = async (folder, plan, figures, draws, common) => {
  const threads = workerThreads()! as { Worker: typeof Worker };
  const { Worker: Original } = threads;
  const { command } = Arena.prototype;
  const { finish } = Team.prototype;
  const live = new Set<Worker>();
  let ofRun = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** The next kill is in an update, or some time after so many commands. */
  let inUpdate = false, commands = 0;
  /** The last update asked for, and how long the first one took, in ms. */
  let update = 0;
  let updateMs: number | undefined;

  const kill = (): void => {
    const victims = [...live];
    if (victims.length > 0) {
      const victim = draws.pick(victims);
      live.delete(victim);
      void victim.terminate();
      figures.kills++;
      ofRun++;
    }
    next();
  };
  const next = (): void => {
    [inUpdate, commands] = [false, 0];
    const left = plan.kills - figures.kills;
    const updates = plan.updates - figures.updates;
    if (ofRun >= KILLS_OF_RUN || (left <= 0 && updates <= 0)) return;
    inUpdate = left <= updates || draws.unit() < updates / left;
    // Some while a team starts.
    if (!inUpdate && draws.unit() < 0.15) timer = setTimeout(kill, 1000 * draws.unit());
    else if (!inUpdate) commands = 1 + draws.below(8);
  };
  threads.Worker = class extends Original {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      live.add(this);
      this.on("exit", () => live.delete(this));
    }
  };
  Arena.prototype.command = function (kind: number): number {
    const number = command.call(this, kind);
    if (commands > 0 && --commands === 0) timer = setTimeout(kill, 50 * draws.unit() ** 2);
    if (kind !== UPDATE) return number;
    update = number;
    if (!inUpdate && updateMs !== undefined) return number;
    // The workers come to it when they are done with the gradient.
    if (!appears(() => this.isFinished(number - 1))) return number;
    const begin = performance.now();
    if (updateMs === undefined) {
      appears(() => this.isFinished(number));
      updateMs = performance.now() - begin;
      return number;
    }
    const until = begin + updateMs * draws.unit();
    while (performance.now() < until);
    kill();
    return number;
  };
  Team.prototype.finish = async function (number: number, limit: number): Promise<void> {
    try {
      await finish.call(this, number, limit);
    } catch (error) {
      // An update may be queued behind its gradient.
      if (number === update && this.arena.isFinished(number - 1)) figures.updates++;
      throw error;
    }
  };
  try {
    next();
    return await trainMortal(folder, common);
  } finally {
    clearTimeout(timer);
    threads.Worker = Original;
    Arena.prototype.command = command;
    Team.prototype.finish = finish;
  }
};

/** Whether something comes to be within a second, looked for without a pause. */
function appears(isThere: () => boolean): boolean {
  const until = performance.now() + 1000;
  while (!isThere() && performance.now() < until);
  return isThere();
}

const [kills, updates, seed] = process.argv.slice(2).map(Number);
if (seed !== undefined && /worker_kills\.[jt]s$/.test(process.argv[1])) {
  const figures = await killWorkers({ kills, updates, seed });
  assert.ok(figures.kills >= kills && figures.updates >= updates);
  console.log(JSON.stringify(figures));
}
