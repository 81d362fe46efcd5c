/** How long a worker has been silent, by its heartbeat in shared memory. */
import type { Arena } from "./arena.ts";

/**
 * The longest time between two looks that counts, in ms. If there was more, this thread itself was kept
 * from looking, as after a machine has slept: that says nothing of the worker.
 */
const LONGEST_MS = 500;

/** The signs of life of one worker, looked at from time to time. */
export class SignsOfLife {
  readonly #arena: Arena;
  readonly #worker: number;
  #beat: number;
  #looked: number = performance.now();
  #silentMs = 0;

  constructor(arena: Arena, worker: number) {
    this.#arena = arena;
    this.#worker = worker;
    this.#beat = arena.beatOf(worker);
  }

  /** Milliseconds without a sign of life up to now. */
  silence(): number {
    const now = performance.now();
    const beat = this.#arena.beatOf(this.#worker);
    this.#silentMs = beat === this.#beat
      ? this.#silentMs + Math.min(now - this.#looked, LONGEST_MS)
      : 0;
    this.#beat = beat;
    this.#looked = now;
    return this.#silentMs;
  }
}
