/** What the pieces of a run share while it goes on. */
import type { Breath } from "./breath.ts";
import type { Engine } from "./engine.ts";
import type { Hooks } from "./hooks.ts";
import type { TrainMeters } from "./meters.ts";
import type { RunParts } from "./parts.ts";
import type { RunView } from "./run_view.ts";
import type { Saver } from "./saver.ts";
import { modelTensors } from "./snapshot.ts";
import type { RunState } from "./state.ts";
import { TrainingWeights } from "./training_weights.ts";

/** A run from the inside. */
export interface RunContext {
  readonly run: RunView;
  readonly parts: RunParts;
  readonly engine: Engine;
  readonly hooks: Hooks;
  readonly breath: Breath;
  readonly meters: TrainMeters;
  readonly saver: Saver;
  /** Makes a checkpoint that a rollback may go back to. */
  readonly saveAtCadence: () => Promise<void>;
  /** Puts the checkpoint of an iteration into the run that goes on, with some counters set. */
  readonly goBack: (iteration: number, counters: Partial<RunState>) => Promise<void>;
  /** The one state, which changes as the run goes on. */
  readonly state: RunState;
  /** Those of the training, while the model holds others. */
  aside?: TrainingWeights;
}

/** Runs `work`, for which the model is lent other weights; checkpoints meanwhile have those it holds now. */
export async function withTrainingAside<T>(
  context: RunContext,
  work: (weights: TrainingWeights) => Promise<T>,
): Promise<T> {
  const { model, optimizer } = context.parts;
  const weights = context.aside = new TrainingWeights(modelTensors(model), optimizer);
  try {
    return await work(weights);
  } finally {
    context.aside = undefined;
    weights.dispose();
  }
}
