/** The weights of the best validation: kept apart from the checkpoints, and lent to test and predict. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { readTensors, toTensor } from "../checkpoint/tensors.ts";
import { CheckpointError } from "../core/errors.ts";
import { savedData } from "./contents.ts";
import type { Values } from "./record.ts";
import { type RunContext, withTrainingAside } from "./context.ts";
import { modelTensors, refuseDifference } from "./snapshot.ts";

/** Which weights are lent. */
export interface BestWeightsOptions {
  /** Whether the data may have changed since they were trained. */
  readonly anyData?: boolean;
}

/** Keeps the weights that the model holds now if `values` of a validation are the best so far. */
export async function keepIfBest(
  { parts: { settings, model, fingerprint }, state, saver }: RunContext,
  values: Values,
): Promise<void> {
  const { monitor, mode } = settings.best;
  const value = values[monitor.replace(/^val\//, "")];
  const best = state.best?.value;
  // Strictly better: a tie keeps the earlier weights, and NaN is never better.
  const isBest = best === undefined
    ? !Number.isNaN(value)
    : mode === "min"
    ? value < best
    : value > best;
  if (!isBest) return;
  await saver.room();
  const tensors = await readTensors(modelTensors(model));
  // At once: a checkpoint that speaks of them is written after them.
  state.best = { iteration: state.iteration, metric: monitor, value };
  saver.keepBest(state.iteration, { tensors, meta: { ...state.best, fingerprint } });
}

/**
 * Runs `work` with the best weights and puts the present ones back; without any, runs `otherwise`. A
 * run whose best weights are gone forgets them, in a line: nothing is said of weights that are not used.
 */
export async function withBestWeights<T>(
  context: RunContext,
  work: (best: Checkpoint) => Promise<T>,
  otherwise: () => Promise<T>,
  { anyData = false }: BestWeightsOptions = {},
): Promise<T> {
  const { parts: { model, fingerprint, store, settings, output }, saver, state } = context;
  const best = await saver.best(state.best?.iteration);
  if (best === undefined) {
    if (state.best !== undefined) {
      const { iteration } = state.best;
      output.line(
        `${store.location}: the best weights, of iteration ${iteration}, are missing: ` +
          `using those of iteration ${state.iteration}`,
      );
      state.best = undefined;
    }
    return await otherwise();
  }
  const { meta } = best.state;
  const now = anyData ? { ...fingerprint, ...savedData(meta) } : fingerprint;
  refuseDifference(meta.fingerprint, now, store.location, settings.allowChanged);
  const variables = modelTensors(model);
  for (const name of Object.keys(variables)) {
    if (best.state.tensors[name]?.shape.join() !== variables[name].shape.join()) {
      throw new CheckpointError(
        `${store.location}: the best weights do not fit the model at ${name}`,
      );
    }
  }
  return await withTrainingAside(context, async (weights) => {
    try {
      for (const name of Object.keys(variables)) {
        const value = toTensor(best.state.tensors[name]);
        variables[name].assign(value);
        value.dispose();
      }
      return await work(best);
    } finally {
      weights.putBack();
    }
  });
}
