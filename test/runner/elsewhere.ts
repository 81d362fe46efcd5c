/** An engine that trains a model and an optimizer of its own, as workers do, in this process. */
import { setTimeout as pause } from "node:timers/promises";
import { BaseIterationRunner, type RunConfig, type RunParts, tf, WorkerError } from "../../mod.ts";
import { buildParts } from "../../src/config/build_parts.ts";
import { resolveConfig } from "../../src/config/schema.ts";
import type {
  CopiedOptimizerState,
  Engine,
  EvaluationLanes,
  IterationGradient,
  Split,
} from "../../src/runner/engine.ts";
import { Hooks } from "../../src/runner/hooks.ts";
import { LocalEngine } from "../../src/runner/local_engine.ts";
import { disposeModel } from "../../src/runner/parts.ts";
import { modelTensors } from "../../src/runner/snapshot.ts";
import type { Output } from "../../src/report/console.ts";

/** Where the workers are lost. */
export interface Loss {
  readonly at: "gradient" | "read" | "apply" | "evaluation";
  readonly iteration: number;
}

/** The run's model and optimizer are copies, brought up to date by `pull` alone. */
export class Elsewhere implements Engine {
  readonly workers = 2;
  /** How often a gradient was looked at in this process. */
  looked = 0;
  pulls = 0;
  loss: Loss | undefined;
  disposed = 0;
  readonly #run: RunParts;
  readonly #own: RunParts;
  readonly #local: LocalEngine;
  readonly #evaluating: LocalEngine;
  #isBehind = false;
  #iteration = 0;

  /** @param own Built from the same config as those of the run. */
  constructor(run: RunParts, own: RunParts) {
    this.#run = run;
    this.#own = own;
    const { metrics, settings } = own;
    const pass = {
      hooks: new Hooks(own.callbacks),
      trainMetrics: settings.train.metrics ? metrics : [],
      breathe: () => Promise.resolve(),
    };
    this.#local = new LocalEngine(own, pass);
    this.#evaluating = new LocalEngine(run, pass);
  }

  async gradient(...args: Parameters<Engine["gradient"]>): Promise<IterationGradient> {
    this.#iteration = args[0].iteration;
    await this.#work("gradient");
    const gradient = await this.#local.gradient(...args);
    const look = () => this.looked++;
    const grads: Record<string, tf.Tensor> = {};
    for (const name of Object.keys(gradient.grads)) {
      const get = () => (look(), gradient.grads[name]);
      Object.defineProperty(grads, name, { enumerable: true, configurable: true, get });
    }
    return {
      grads,
      read: async () => {
        await this.#work("read");
        return await gradient.read();
      },
      apply: async (value) => {
        await this.#work("apply");
        this.#run.optimizer.paramGroups.forEach((group, i) =>
          Object.assign(this.#own.optimizer.paramGroups[i], group)
        );
        const same = value.grads === grads;
        await gradient.apply({ ...value, grads: same ? gradient.grads : value.grads });
        this.#isBehind = true;
      },
      dispose: () => gradient.dispose(),
    };
  }

  /** Three batches at once, of which later ones are done sooner. */
  async evaluation(split: Split): Promise<EvaluationLanes> {
    await this.#work("evaluation");
    const lanes = await this.#evaluating.evaluation(split);
    return {
      width: 3,
      run: async (batch, position) => {
        await pause(position % 3);
        return await lanes.run(batch, position);
      },
    };
  }

  pull(): void {
    if (!this.#isBehind) return;
    this.pulls++;
    copy(this.#own, this.#run);
    this.#isBehind = false;
  }

  push(): void {
    copy(this.#run, this.#own);
    this.#isBehind = false;
  }

  /** The groups are those of the run, whose rates a scheduler changes. */
  async optimizerState(): Promise<CopiedOptimizerState> {
    const { groups } = this.#run.optimizer.exportState().meta;
    const { tensors, meta } = await this.#local.optimizerState();
    return { tensors, meta: { ...meta, groups } };
  }

  rest(): Promise<void> {
    return Promise.resolve();
  }

  dispose(): void {
    this.disposed++;
    this.#own.optimizer.dispose();
    disposeModel(this.#own.model);
  }

  async #work(at: Loss["at"]): Promise<void> {
    await pause(0);
    const { loss } = this;
    if (loss?.at === at && this.#iteration === loss.iteration) throw new WorkerError("2 are gone");
  }
}

function copy(from: RunParts, to: RunParts): void {
  const values = modelTensors(from.model);
  for (const [name, variable] of Object.entries(modelTensors(to.model))) {
    tf.tidy(() => variable.assign(tf.clone(values[name])));
  }
  const { tensors, meta: { groups: _, ...meta } } = from.optimizer.exportState();
  to.optimizer.importState({ tensors, meta });
}

/** A run whose training is computed by an {@link Elsewhere}. */
export async function elsewhere(
  config: RunConfig,
  output: Output,
): Promise<{ run: BaseIterationRunner; engine: Elsewhere }> {
  const build = () => buildParts(resolveConfig(config), config, output, {});
  const parts = await build();
  const engine = new Elsewhere(parts, await build());
  return { run: new BaseIterationRunner({ ...parts, engine }), engine };
}
