/** What the workers spend their time on, in shared memory. */
import { CONTROL_BYTES, WORKER_BYTES } from "./layout.ts";

/** What a worker does in an iteration: takes over the parameters, computes, waits for the others, adds up, updates. */
export interface PhaseTimes {
  loadMs: number;
  computeMs: number;
  barrierMs: number;
  reduceMs: number;
  updateMs: number;
}

const NONE: PhaseTimes = { loadMs: 0, computeMs: 0, barrierMs: 0, reduceMs: 0, updateMs: 0 };
const PHASES = Object.keys(NONE) as (keyof PhaseTimes)[];

/**
 * Sums of milliseconds, behind the heartbeat of each worker. Only the worker writes its own: it may be at
 * the next iteration when the coordinator reads them.
 */
export class PhaseClock {
  readonly #sums: readonly Float64Array[];
  /** What {@link take} has told of. */
  #taken = NONE;

  /** @param doubles The shared memory. */
  constructor(doubles: Float64Array, workers: number) {
    this.#sums = Array.from({ length: workers }, (_, worker) => {
      const at = (CONTROL_BYTES + WORKER_BYTES * worker) / 8 + 1;
      return doubles.subarray(at, at + PHASES.length);
    });
  }

  /** In a worker: notes that a phase took `ms`. */
  spend(worker: number, phase: keyof PhaseTimes, ms: number): void {
    this.#sums[worker][PHASES.indexOf(phase)] += ms;
  }

  /** Mean milliseconds that the workers have spent on each phase since the last call. */
  take(): PhaseTimes {
    const now = { ...NONE };
    for (const sums of this.#sums) {
      PHASES.forEach((phase, i) => now[phase] += sums[i] / this.#sums.length);
    }
    const before = this.#taken;
    this.#taken = now;
    return combine(now, before, (a, b) => a - b);
  }
}

/** The times of both. */
export function addTimes(a: PhaseTimes, b: PhaseTimes): PhaseTimes {
  return combine(a, b, (a, b) => a + b);
}

function combine(a: PhaseTimes, b: PhaseTimes, f: (a: number, b: number) => number): PhaseTimes {
  const out = { ...NONE };
  for (const phase of PHASES) out[phase] = f(a[phase], b[phase]);
  return out;
}
