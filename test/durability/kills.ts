/** Processes killed with SIGKILL, started again until they end, and compared with one that was left alone. */
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { withFolder } from "../support/runs.ts";
import { Draws } from "./draws.ts";
import { outcomeOf, type Runtime, start } from "./processes.ts";

/** Which runs are killed, and how often. */
export interface KillPlan {
  readonly runtimes: readonly Runtime[];
  readonly kills: number;
  readonly iterations: number;
  readonly seed: number;
  readonly workers?: number;
}

/** Counts of what was done; every run has ended as the one that was left alone. */
export interface KillFigures {
  kills: number;
  runs: number;
  /** Kills by runtime. */
  by: Partial<Record<Runtime, number>>;
}

/** Kills at instants drawn from the time a whole run takes. Restarts change the runtime at random. */
export async function killAtRandom(plan: KillPlan): Promise<KillFigures> {
  const { runtimes, iterations, seed, workers } = plan;
  const draws = new Draws(seed);
  const figures: KillFigures = { kills: 0, runs: 0, by: {} };
  await withFolder(async (folder) => {
    const times = new Map<Runtime, number>();
    let wanted: unknown;
    for (const runtime of runtimes) {
      const directory = join(folder, runtime);
      const began = performance.now();
      const { status, output } = await start(runtime, directory, { iterations, workers }).ended;
      assert.equal(status, 0, output);
      times.set(runtime, performance.now() - began);
      const outcome = await outcomeOf(directory);
      wanted ??= outcome;
      assert.deepEqual(outcome, wanted, `${runtime} and ${runtimes[0]} differ`);
    }
    while (figures.kills < plan.kills) {
      const directory = join(folder, `run-${figures.runs}`);
      for (;;) {
        const runtime = draws.pick(runtimes);
        const training = start(runtime, directory, { iterations, workers });
        const timer = new Promise<void>((resolve) =>
          setTimeout(resolve, draws.unit() * times.get(runtime)!)
        );
        if (figures.kills < plan.kills) await Promise.race([timer, training.ended]);
        else await training.ended;
        if (figures.kills < plan.kills && training.kill()) {
          await training.ended;
          figures.kills++;
          figures.by[runtime] = (figures.by[runtime] ?? 0) + 1;
          continue;
        }
        const { status, output } = await training.ended;
        assert.equal(status, 0, output);
        break;
      }
      assert.deepEqual(await outcomeOf(directory), wanted, `run ${figures.runs}`);
      figures.runs++;
    }
  });
  return figures;
}

/** Kills at file-system calls inside a save, all of them one after the other, of saves drawn at random. */
export async function killInSave(plan: KillPlan): Promise<KillFigures> {
  const { runtimes, iterations, seed, kills } = plan;
  const draws = new Draws(seed);
  const figures: KillFigures = { kills: 0, runs: 0, by: {} };
  await withFolder(async (folder) => {
    const whole = start(runtimes[0], join(folder, "whole"), { iterations });
    assert.equal((await whole.ended).status, 0);
    const wanted = await outcomeOf(join(folder, "whole"));
    while (figures.kills < kills) {
      const directory = join(folder, `run-${figures.runs}`);
      const call = figures.runs * STRIDE % CALLS;
      const runtime = draws.pick(runtimes);
      const save = 2 + draws.below(Math.floor(iterations / 3) - 4);
      const training = start(runtime, directory, { iterations, stall: [save, call] });
      assert.ok(await training.said("stalled"), `no call ${call} in save ${save}`);
      assert.ok(training.kill());
      await training.ended;
      figures.kills++;
      figures.by[runtime] = (figures.by[runtime] ?? 0) + 1;
      const { status, output } = await start(draws.pick(runtimes), directory, { iterations }).ended;
      assert.equal(status, 0, output);
      assert.match(output, /resuming .* after iteration [1-9]/);
      assert.match(output, /which is gone: taking over/);
      assert.deepEqual(await outcomeOf(directory), wanted, `call ${call} of save ${save}`);
      figures.runs++;
    }
  });
  return figures;
}

/** Calls from the opening of a checkpoint's temporary file to the removal of an old one. */
const CALLS = 30;
/** From one of them to the next: a few kills are spread over the save, thirty meet every call. */
const STRIDE = 11;
