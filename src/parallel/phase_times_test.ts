import { strict as assert } from "node:assert";
import { test } from "node:test";
import { PhaseClock } from "./phase_times.ts";

test("PhaseClock.take() counts once what a worker notes meanwhile", () => {
  const memory = new Float64Array(64);
  const [clock, worker] = [0, 1].map(() => new PhaseClock(memory, 2));
  worker.spend(0, "computeMs", 10);
  worker.spend(1, "computeMs", 6);
  worker.spend(1, "updateMs", 4);
  const taken: number[] = [];
  const take = () => taken.push(clock.take().computeMs);
  // Becomes a number between the worker's reading and its writing.
  const ms = { valueOf: () => (take(), 2) } as unknown as number;
  worker.spend(0, "computeMs", ms);
  take();
  take();
  assert.deepEqual(taken, [8, 1, 0]);
  worker.spend(1, "updateMs", 4);
  const none = { loadMs: 0, computeMs: 0, barrierMs: 0, reduceMs: 0 };
  assert.deepEqual(clock.take(), { ...none, updateMs: 2 });
});
