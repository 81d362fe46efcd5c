/** The short form of the kill tests; `npm run test:durability` is the long one. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { killAtRandom, killInSave } from "./kills.ts";
import { here } from "./processes.ts";

test("a run killed at random instants, and resumed in another runtime, ends as one that was left alone", async () => {
  // Both run the sources as they are, or what the tests of Node have just transpiled.
  const runtimes = [here, here === "deno" ? "bun" : "deno"] as const;
  const figures = await killAtRandom({ runtimes, kills: 3, iterations: 45, seed: 1 });
  assert.equal(figures.kills, 3);
});

test("a run killed inside a save ends as one that was left alone", async () => {
  const figures = await killInSave({ runtimes: [here], kills: 2, iterations: 24, seed: 2 });
  assert.equal(figures.kills, 2);
});

test("a run with workers that is killed ends as one that was left alone", async () => {
  const plan = { runtimes: [here], kills: 1, iterations: 30, seed: 3, workers: 2 };
  assert.equal((await killAtRandom(plan)).kills, 1);
});
