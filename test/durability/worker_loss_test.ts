/** The short forms of what `npm run test:durability` does to workers at length. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { here, launch } from "./processes.ts";
import type { LeakFigures } from "./worker_leaks.ts";
import { killWorkers } from "./worker_kills.ts";

test("a run whose workers are terminated at random instants ends with the bits of one in process", async () => {
  const { kills, updates } = await killWorkers({ kills: 3, updates: 1, seed: 1 });
  assert.ok(kills >= 3 && updates >= 1, `${kills} kills, ${updates} in updates`);
});

test("runs with workers leave no thread, descriptor, tensor or shared memory behind", async () => {
  const { status, output } = await launch(here, "worker_leaks", ["8"]).ended;
  assert.equal(status, 0, output);
  const { threads, descriptors, tensors, memories }: LeakFigures = JSON.parse(output.trim());
  // The runtimes keep a few threads of their own for later.
  assert.ok(threads[1] <= threads[0] + 3, `${threads} threads`);
  assert.ok(descriptors[1] <= descriptors[0] + 2, `${descriptors} descriptors`);
  assert.equal(tensors[1], tensors[0]);
  assert.ok(memories <= 3, `${memories} shared memories`);
});
