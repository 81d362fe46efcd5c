/** Time and throughput of training. */
import type { Clock } from "../core/clock.ts";

/** Iterations that warm up caches and compile shaders are left out of the throughput. */
const WARM_UP = 5;

/** Stop watches of one `train()` call. */
export class Timing {
  /** How often workers were replaced. */
  restarts = 0;
  readonly #clock: Clock;
  readonly #begin: number;
  #iterations = 0;
  #measuredMs = 0;
  #measuredSamples = 0;
  #window = { iterations: 0, samples: 0, ms: 0, waitMs: 0 };
  #phases: Record<string, number> = {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#begin = clock.now();
  }

  /** Milliseconds on the run's clock. */
  now(): number {
    return this.#clock.now();
  }

  /** Seconds since `train()` was called. */
  get seconds(): number {
    return (this.#clock.now() - this.#begin) / 1000;
  }

  /**
   * Adds an iteration that took `ms`, of which `waitMs` went by waiting for data.
   *
   * @param phases Milliseconds of single phases, by name.
   */
  iteration(
    samples: number,
    ms: number,
    waitMs: number,
    phases: Record<string, number> = {},
  ): void {
    for (const name in phases) this.#phases[name] = (this.#phases[name] ?? 0) + phases[name];
    if (++this.#iterations > WARM_UP) {
      this.#measuredMs += ms;
      this.#measuredSamples += samples;
    }
    this.#window.iterations++;
    this.#window.samples += samples;
    this.#window.ms += ms;
    this.#window.waitMs += waitMs;
  }

  /** Training samples a second inside iterations, without the first five; 0 before there are more. */
  get samplesPerSecond(): number {
    return this.#measuredMs === 0 ? 0 : this.#measuredSamples / this.#measuredMs * 1000;
  }

  /** What has passed since the last call, for `timings.jsonl`. */
  lap():
    & Record<"iterationMs" | "samplesPerSecond" | "dataWaitMs", number>
    & Record<string, number> {
    const { iterations, samples, ms, waitMs } = this.#window;
    this.#window = { iterations: 0, samples: 0, ms: 0, waitMs: 0 };
    const n = Math.max(1, iterations);
    const phases = Object.entries(this.#phases).map(([name, ms]) => [name, ms / n] as const);
    this.#phases = {};
    return {
      ...Object.fromEntries(phases),
      iterationMs: ms / n,
      samplesPerSecond: ms === 0 ? 0 : samples / ms * 1000,
      dataWaitMs: waitMs / n,
    };
  }
}
