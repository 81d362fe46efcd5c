/** Lets signals and messages arrive while a run is at work. */
import { type Clock, macrotask } from "../core/clock.ts";

/** Longest time, in ms, that work keeps the event loop waiting; half of what is promised. */
const YIELD_AFTER_MS = 25;

/** A signal broke an evaluation off. */
class Interrupted extends Error {}

/** Turns for the event loop, taken by the training loop and by evaluations. */
export class Breath {
  /** Whether the process was told to end, as against a program that called `stop`. */
  signalled = false;
  /** Why what is under way is to end here. */
  over: Error | undefined;
  readonly #clock: Clock;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Gives the event loop a turn if the last one is some time ago.
   *
   * @throws What is {@link over}.
   */
  async take(): Promise<void> {
    if (this.#clock.now() - this.#last >= YIELD_AFTER_MS) {
      await macrotask();
      this.#last = this.#clock.now();
    }
    if (this.over !== undefined) throw this.over;
  }

  /** The same; what can be made up for is broken off by a signal. */
  async takeOrBreakOff(): Promise<void> {
    await this.take();
    if (this.signalled) throw new Interrupted();
  }
}

/** What `work` answers; undefined if a signal broke it off. */
export async function unlessInterrupted<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Interrupted) return undefined;
    throw error;
  }
}
