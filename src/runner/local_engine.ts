/** Gradients, updates and evaluations in this process. */
import { readTensors } from "../checkpoint/tensors.ts";
import type {
  CopiedOptimizerState,
  Engine,
  EvaluationLanes,
  GradientTask,
  IterationGradient,
  Split,
} from "./engine.ts";
import { evaluatedParts, type EvaluatedRun, evaluationRandom, localLanes } from "./evaluate.ts";
import { iterationGradient } from "./gradients.ts";
import type { PassParts } from "./leaf_gradient.ts";
import type { RunParts } from "./parts.ts";
import { perturbedGradient } from "./perturbed_gradient.ts";

/** The engine of a run without workers: the model and the optimizer are those that are trained. */
export class LocalEngine implements Engine {
  readonly workers = 1;
  readonly #run: EvaluatedRun & Pick<RunParts, "optimizer">;
  readonly #pass: PassParts;

  constructor(
    run: EvaluatedRun & Pick<RunParts, "optimizer">,
    pass: Pick<PassParts, "trainMetrics" | "hooks" | "breathe">,
  ) {
    this.#run = run;
    this.#pass = { model: run.model, task: run.task, loss: run.loss, ...pass };
  }

  async gradient({ batch, bounds, iteration, random }: GradientTask): Promise<IterationGradient> {
    const { optimizer, model } = this.#run;
    const pass = () => iterationGradient(this.#pass, batch, bounds, iteration, random);
    const gradient = optimizer.perturbs
      ? await perturbedGradient(optimizer, model, pass)
      : await pass();
    return {
      ...gradient,
      apply: ({ grads, scale }) => optimizer.applyGradients(grads, { scale }),
    };
  }

  evaluation(split: Split): Promise<EvaluationLanes> {
    const random = evaluationRandom(this.#run.settings.seed, split);
    return Promise.resolve(localLanes(evaluatedParts(this.#run, split), random));
  }

  pull(): void {}

  push(): void {}

  async optimizerState(): Promise<CopiedOptimizerState> {
    const { tensors, meta } = this.#run.optimizer.exportState();
    return { tensors: await readTensors(tensors), meta };
  }

  rest(): Promise<void> {
    return Promise.resolve();
  }

  dispose(): void {}
}
