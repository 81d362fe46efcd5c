/** How a run ends: the final test of the best weights, and the summary. */
import { weightsSha256 } from "../checkpoint/tensors.ts";
import { unlessInterrupted } from "./breath.ts";
import type { RunContext } from "./context.ts";
import { type Evaluations, isTested } from "./evaluations.ts";
import { modelTensors } from "./snapshot.ts";
import type { FinishReason, Summary } from "./state.ts";

/**
 * Tests, and sums up.
 *
 * @param reason Why training has ended; a run that a signal ended is not tested.
 * @param ended The summary the run has already, if this is one more test of it: nothing is recorded,
 * and the times stay.
 */
export async function finishRun(
  context: RunContext,
  evaluations: Evaluations,
  reason: FinishReason,
  ended?: Summary,
): Promise<Summary> {
  const { run, parts, engine, hooks, breath, state } = context;
  let test: Summary["test"];
  let naive: Summary["naive"];
  if (reason !== "signal" && parts.loaders.test !== undefined) {
    await unlessInterrupted(async () => {
      const values = await evaluations.finalTest();
      if (ended === undefined) await recordFinalTest(context, values);
      await hooks.emit("testEnd", values, run);
      naive = await evaluations.naive();
      test = values;
    });
  }
  const { seconds, samplesPerSecond } = ended ?? run.timing;
  engine.pull();
  const summary: Summary = {
    finished: test === undefined && breath.signalled ? "signal" : reason,
    iterations: state.iteration,
    skipped: state.skipped,
    backend: (ended ?? parts).backend,
    workers: (ended ?? engine).workers,
    shards: parts.settings.shards,
    seconds,
    samplesPerSecond,
    best: state.best,
    test,
    ...(naive === undefined ? {} : { naive }),
    weightsSha256: await weightsSha256(modelTensors(parts.model)),
  };
  await hooks.emit("finish", summary, run);
  return summary;
}

/**
 * The record says which weights were tested, unless they are the last, which are not recorded twice
 * where a test has followed this iteration.
 */
async function recordFinalTest(
  { run, parts, hooks, state }: RunContext,
  values: NonNullable<Summary["test"]>,
): Promise<void> {
  const { iteration, best = { iteration } } = state;
  const isLast = best.iteration === iteration;
  if (isLast && isTested(parts, iteration)) return;
  const record = isLast ? values : { ...values, best_iteration: best.iteration };
  await hooks.record("test", record, run);
}
