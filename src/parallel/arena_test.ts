import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Arena } from "./arena.ts";
import { CONTROL_BYTES, type Layout, WORKER_BYTES } from "./layout.ts";

test("Arena.takeTimes counts once what a worker notes meanwhile", () => {
  const workers = 2;
  const bytes = CONTROL_BYTES + WORKER_BYTES * workers;
  const arena = Arena.create({ workers, bytes } as Layout);
  const worker = new Arena(arena.memory, arena.layout);
  worker.spend(0, "computeMs", 10);
  worker.spend(1, "computeMs", 6);
  worker.spend(1, "updateMs", 4);
  const taken: number[] = [];
  const take = () => taken.push(arena.takeTimes().computeMs);
  // Becomes a number between the worker's reading and its writing.
  const ms = { valueOf: () => (take(), 2) } as unknown as number;
  worker.spend(0, "computeMs", ms);
  take();
  take();
  assert.deepEqual(taken, [8, 1, 0]);
  worker.spend(1, "updateMs", 4);
  assert.deepEqual(arena.takeTimes(), {
    ...{ loadMs: 0, computeMs: 0, barrierMs: 0, reduceMs: 0, updateMs: 2 },
  });
});
