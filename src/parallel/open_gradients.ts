/** Gradients in the shared memory, as callbacks see and change them: copied when they are looked at. */
import * as tf from "../tensor/tf.ts";
import type { Arena } from "./arena.ts";

/** What callbacks have made of gradients. */
export interface GradientChanges {
  /** Those that take the place of what was computed, by name. */
  readonly given: Readonly<Record<string, tf.Tensor>>;
  /** The names of those that are as they were computed. */
  readonly kept: readonly string[];
}

/** The sums in chunk 0. */
export class OpenGradients {
  /** Its properties may be deleted, assigned and redefined. */
  readonly grads: Record<string, tf.Tensor> = Object.create(null);
  readonly #arena: Arena;
  readonly #copies = new Map<string, tf.Tensor>();
  readonly #assigned = new Map<string, tf.Tensor>();

  /** @param present Whether there is a gradient, for each of the layout. */
  constructor(arena: Arena, present: readonly boolean[]) {
    this.#arena = arena;
    arena.layout.gradients.forEach(({ name }, g) => {
      if (!present[g]) return;
      Object.defineProperty(this.grads, name, {
        enumerable: true,
        configurable: true,
        get: () => this.#assigned.has(name) ? this.#assigned.get(name) : this.#copy(name, g),
        set: (other: tf.Tensor) => this.#assigned.set(name, other),
      });
    });
  }

  /** What an update by `given` has to do: these gradients, or others. */
  changes(given: Record<string, tf.Tensor>): GradientChanges {
    if (given !== this.grads) return { given, kept: [] };
    const isKept = (name: string): boolean =>
      Object.getOwnPropertyDescriptor(given, name)!.get !== undefined && !this.#assigned.has(name);
    const [kept, others] = [true, false].map((is) =>
      Object.keys(given).filter((name) => isKept(name) === is)
    );
    return { given: Object.fromEntries(others.map((name) => [name, given[name]])), kept };
  }

  dispose(): void {
    tf.dispose([...this.#copies.values(), ...this.#assigned.values()]);
  }

  #copy(name: string, g: number): tf.Tensor {
    const made = this.#copies.get(name);
    if (made !== undefined) return made;
    const { gradients, tensors } = this.#arena.layout;
    const { tensor, size } = gradients[g];
    const values = this.#arena.floatsAt(this.#arena.gradientAt(0, g), size).slice();
    const copy = tf.keep(tf.tensor(values, [...tensors[tensor].shape]));
    this.#copies.set(name, copy);
    return copy;
  }
}
