/** Runs that are interrupted twice in a row, anywhere: the end is that of a run that never was. */
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { type Callback, IterationRunner } from "../../mod.ts";
import "../../src/model/models.ts";
import { Lines, trainOnce, withFolder } from "../support/runs.ts";
import { childConfig } from "./child.ts";
import { Draws } from "./draws.ts";
import { outcomeOf } from "./processes.ts";

const ITERATIONS = 45;

/** Where a run breaks off: a signal's stop, or an error between, in the middle of, or after iterations. */
const WAYS = ["stop", "iterationStart", "loss", "updateEnd", "evaluationStart", "save"] as const;

interface Break {
  readonly at: number;
  readonly way: typeof WAYS[number];
}

function breakAt({ at, way }: Break): Callback {
  let calls = 0;
  let iteration = 0;
  const fail = (now: number): void => {
    if (now >= at) throw new Error("broken");
  };
  return {
    name: "ProgressBar",
    iterationStart: (run) => {
      iteration = run.state.iteration + 1;
      calls = 0;
      if (way === "iterationStart") fail(iteration);
    },
    // The second leaf of the first micro-batch: in the middle of an accumulation.
    ...(way === "loss" ? { loss: (value) => (++calls === 2 && fail(iteration), value) } : {}),
    ...(way === "updateEnd" ? { updateEnd: (run) => fail(run.state.iteration) } : {}),
    ...(way === "evaluationStart" ? { evaluationStart: (run) => fail(run.state.iteration) } : {}),
    ...(way === "save" ? { save: () => fail(iteration) } : {}),
    iterationEnd: (run) => {
      if (way === "stop" && run.state.iteration >= at) run.stop("signal");
    },
  };
}

async function broken(directory: string, where: Break): Promise<void> {
  const config = childConfig(directory, { iterations: ITERATIONS, backend: "cpu" });
  const run = await IterationRunner.create(
    { ...config, callbacks: [...config.callbacks ?? [], breakAt(where)] },
    { output: new Lines() },
  );
  try {
    await run.train();
  } catch (error) {
    if ((error as Error).message !== "broken") throw error;
  } finally {
    run.dispose();
  }
}

/** Breaks runs at pairs of places drawn at random, the last iteration and edges of epochs among them. */
export async function interruptTwice(pairs: number, seed: number): Promise<Record<string, number>> {
  const draws = new Draws(seed);
  const figures: Record<string, number> = {};
  await withFolder(async (folder) => {
    const whole = childConfig(join(folder, "whole"), { iterations: ITERATIONS, backend: "cpu" });
    await trainOnce(whole);
    const wanted = await outcomeOf(join(folder, "whole"));
    for (let i = 0; i < pairs; i++) {
      const directory = join(folder, `pair-${i}`);
      const places = [1 + draws.below(ITERATIONS), 1 + draws.below(ITERATIONS)].sort((a, b) =>
        a - b
      );
      const breaks = places.map((at) => ({ at, way: draws.pick(WAYS) }));
      for (const where of breaks) {
        await broken(directory, where);
        figures[where.way] = (figures[where.way] ?? 0) + 1;
      }
      await trainOnce({ ...whole, checkpoint: { ...whole.checkpoint as object, directory } });
      assert.deepEqual(await outcomeOf(directory), wanted, JSON.stringify(breaks));
    }
  });
  return figures;
}
