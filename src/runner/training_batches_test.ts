import { strict as assert } from "node:assert";
import { test } from "node:test";
import { DataLoader, type Loader, StreamLoader } from "../data/loader.ts";
import type { Dataset } from "../data/dataset.ts";
import { TrainingBatches } from "./training_batches.ts";

/** Notes what is gathered; sample `bad` cannot be. */
function noted(bad = -1): { dataset: Dataset; gathered: number[] } {
  const gathered: number[] = [];
  const dataset: Dataset = {
    length: 6,
    gather(indices) {
      gathered.push(indices[0]);
      if (indices[0] === bad) throw new Error(`sample ${bad} is broken`);
      return { inputs: { data: Float32Array.from(indices), shape: [1, 1], dtype: "float32" } };
    },
  };
  return { dataset, gathered };
}

const first = async (batches: TrainingBatches, k: number): Promise<number> =>
  (await batches.load(k)).inputs.data[0];

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test("TrainingBatches loads a batch ahead once, and another one if that is asked for", async () => {
  const { dataset, gathered } = noted();
  const batches = new TrainingBatches(new DataLoader(dataset), true);
  assert.equal(await first(batches, 0), 0);
  batches.loadAhead(1, () => {});
  // The workers come first.
  assert.deepEqual(gathered, [0]);
  await turn();
  assert.deepEqual(gathered, [0, 1]);
  assert.equal(await first(batches, 1), 1);
  assert.deepEqual(gathered, [0, 1]);
  batches.loadAhead(2, () => {});
  await turn();
  assert.equal(await first(batches, 4), 4);
  assert.equal(await first(batches, 2), 2);
  assert.deepEqual(gathered, [0, 1, 2, 4, 2]);
});

test("TrainingBatches tells of an error ahead when the batch is asked for", async () => {
  const { dataset } = noted(1);
  const batches = new TrainingBatches(new DataLoader(dataset), true);
  batches.loadAhead(1, () => {});
  // An unhandled rejection would end the process here.
  await turn();
  assert.equal(await first(batches, 0), 0);
  batches.loadAhead(1, () => {});
  await turn();
  await assert.rejects(async () => await batches.load(1), /sample 1 is broken/);
});

test("TrainingBatches loads nothing ahead of a stream, of a loader of one's own, or without workers", () => {
  let loads = 0;
  const own: Loader = { load: () => (loads++, {}) };
  const stream = new StreamLoader({ open: () => (loads++, []) });
  const { dataset, gathered } = noted();
  for (
    const [loader, ahead] of [[own, true], [stream, true], [
      new DataLoader(dataset),
      false,
    ]] as const
  ) {
    new TrainingBatches(loader, ahead).loadAhead(0, () => {});
  }
  assert.deepEqual([loads, gathered], [0, []]);
});
