/** The weights that are trained, while the model holds others: averages, or the best ones. */
import type { Optimizer } from "../optim/optimizer.ts";
import * as tf from "../tensor/tf.ts";

/** What variables and options held when it was made, which is what a checkpoint saves meanwhile. */
export class TrainingWeights {
  /** By name. Held so that nothing is written over in place. */
  readonly tensors: Readonly<Record<string, tf.Tensor>>;
  readonly #variables: Readonly<Record<string, tf.Variable>>;
  readonly #modes: readonly unknown[];

  constructor(variables: Readonly<Record<string, tf.Variable>>, { paramGroups }: Optimizer) {
    const tensors: Record<string, tf.Tensor> = Object.create(null);
    for (const name of Object.keys(variables)) tensors[name] = tf.keep(tf.clone(variables[name]));
    this.tensors = tensors;
    this.#variables = variables;
    this.#modes = paramGroups.map((group) => group.train_mode);
  }

  /** Groups as they are in the training, from what they are now. */
  trained<G extends Record<string, unknown>>(groups: readonly G[]): G[] {
    return groups.map((group, i) =>
      group.train_mode === undefined ? group : { ...group, train_mode: this.#modes[i] }
    );
  }

  /** Puts the tensors into the variables again. */
  putBack(): void {
    for (const name of Object.keys(this.tensors)) this.#variables[name].assign(this.tensors[name]);
  }

  dispose(): void {
    tf.dispose(this.tensors);
  }
}
