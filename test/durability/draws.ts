/** Random numbers of a test, from a seed that its figures name. */
import { randomStream } from "../../src/core/random.ts";

/** Uniform draws. */
export class Draws {
  readonly #values = new Float64Array(1024);
  readonly #seed: number;
  #round = 0;
  #at = 1024;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** In [0, 1). */
  unit(): number {
    if (this.#at === this.#values.length) {
      randomStream(this.#seed, `draws ${this.#round++}`).uniform(this.#values, 0, 1);
      this.#at = 0;
    }
    return this.#values[this.#at++];
  }

  /** An integer in [0, n). */
  below(n: number): number {
    return Math.min(n - 1, Math.floor(this.unit() * n));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}
