/** A run that trains a turn at a time, so that runs can take turns. */
import { IterationRunner } from "../src/config/iteration_runner.ts";
import type { RunConfig } from "../src/config/schema.ts";
import type { Callback } from "../src/runner/hooks.ts";
import "./worker_models.ts";

/** Iterations of a turn, and how many of them come before the clock starts. */
const TURN = 20, UNTIMED = 3;

const imports = [import.meta.resolve("./worker_models.ts")];

/** Losses of the first iterations, `round` for the milliseconds an iteration of the next turn, `end`. */
export interface TurnTaker {
  readonly losses: number[];
  round(): Promise<number>;
  end(): Promise<void>;
}

/** Builds a run of so many turns; none of them begins before `round` is called. */
export async function turnTaker(config: RunConfig, turns: number): Promise<TurnTaker> {
  const losses: number[] = [];
  let iterations = 0, begin = 0;
  let isReady = (): void => {}, goOn = (): void => {};
  let endTurn: (msPerIteration: number) => void = () => {};
  const ready = new Promise<void>((resolve) => isReady = resolve);
  const turn = () => new Promise<void>((resolve) => goOn = resolve);
  const callback: Callback = {
    name: "turns",
    trainStart() {
      isReady();
      return turn();
    },
    updateEnd(run) {
      if (losses.length < 20) losses.push(run.lastLoss);
      iterations++;
      // Workers compute the next gradient while a turn is waited for; the first ones do not count.
      if (iterations % TURN === UNTIMED) begin = performance.now();
      if (iterations % TURN !== 0) return;
      endTurn((performance.now() - begin) / (TURN - UNTIMED));
      if (iterations < TURN * turns) return turn();
    },
  };
  const run = await IterationRunner.create({
    ...config,
    train: { ...config.train, iterations: TURN * turns },
    log: { progress: false, interval: TURN * turns },
    callbacks: [callback],
  }, { imports });
  const training = run.train();
  await Promise.race([ready, training]);
  return {
    losses,
    round: () =>
      new Promise((resolve, reject) => {
        training.catch(reject);
        endTurn = resolve;
        goOn();
      }),
    async end() {
      await training;
      run.dispose();
    },
  };
}
