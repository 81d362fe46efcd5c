import { strict as assert } from "node:assert";
import { test } from "node:test";
import { randomStream } from "../core/random.ts";
import { ArrayDataset } from "./array_dataset.ts";
import type { HostBatch } from "./dataset.ts";
import { DataLoader } from "./loader.ts";

/** Sample i is the number i. */
function counting(n: number): ArrayDataset {
  return new ArrayDataset({ x: { data: Int32Array.from({ length: n }, (_, i) => i), shape: [n] } });
}

const read = (batch: HostBatch) => [...batch.x.data];

test("DataLoader keeps the order, with a ragged last batch unless dropLast", async () => {
  const rows: [object, number[][]][] = [
    [{ batchSize: 2 }, [[0, 1], [2, 3], [4]]],
    [{ batchSize: 2, dropLast: true }, [[0, 1], [2, 3]]],
    [{ batchSize: 2, limitBatches: 1 }, [[0, 1]]],
    [{ batch_size: 9 }, [[0, 1, 2, 3, 4]]],
    [{}, [[0], [1], [2], [3], [4]]],
  ];
  for (const [options, expected] of rows) {
    const loader = new DataLoader(counting(5), options);
    const found: number[][] = [];
    for await (const batch of loader) found.push(read(batch));
    assert.deepEqual(found, expected);
    assert.equal(loader.batchesPerEpoch, expected.length);
  }
});

test("a shuffled epoch has each index once, for random sizes, and seeking equals iterating", async () => {
  const random = randomStream(23);
  for (let round = 0; round < 30; round++) {
    const n = 1 + random.integer(20),
      batchSize = 1 + random.integer(7),
      seed = random.integer(1000);
    const options = { batchSize, seed, shuffle: true };
    const all: number[][] = [];
    for await (const batch of new DataLoader(counting(n), { ...options, infinite: true })) {
      all.push(read(batch));
      if (all.length === 3 * Math.ceil(n / batchSize)) break;
    }
    const perEpoch = all.length / 3;
    for (let epoch = 0; epoch < 3; epoch++) {
      const seen = all.slice(epoch * perEpoch, (epoch + 1) * perEpoch).flat();
      assert.deepEqual(seen.sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
    }
    const seek = new DataLoader(counting(n), { ...options, infinite: true });
    for (const k of randomStream(round).permutation(all.length)) {
      assert.deepEqual([...seek.indices(k)], all[k]);
      assert.deepEqual(read(await seek.load(k)), all[k]);
    }
    assert.deepEqual([...new DataLoader(counting(n), options).indices(0)], all[0]);
  }
});

test("the order is the permutation of (seed, 'order', epoch); seeds and epochs differ", () => {
  const order = (seed: number, k: number) => [
    ...new DataLoader(counting(50), { batchSize: 50, shuffle: true, infinite: true, seed }).indices(
      k,
    ),
  ];
  assert.deepEqual(order(7, 3), [...randomStream(7, "order", 3).permutation(50)]);
  assert.notDeepEqual(order(7, 3), order(7, 4));
  assert.notDeepEqual(order(7, 3), order(8, 3));
  // A batch far ahead needs no replay, and what is returned is the caller's own.
  const loader = new DataLoader(counting(50), { shuffle: true, infinite: true, seed: 7 });
  loader.indices(2 ** 40).fill(99);
  assert.notEqual(loader.indices(2 ** 40)[0], 99);
});

test("DataLoader refuses batches out of range, empty epochs and wrong options", () => {
  const loader = new DataLoader(counting(5), { batchSize: 2 });
  for (const k of [3, -1, 0.5, NaN]) {
    assert.throws(() => loader.load(k), {
      name: "RangeError",
      message: `a batch number must be an integer in [0, 3), received ${k}`,
    });
  }
  assert.throws(() => new DataLoader({ length: 0, gather: () => ({}) }), {
    name: "DataError",
    message: "a data set must have at least one sample, received none",
  });
  assert.throws(() => new DataLoader(counting(3), { batchSize: 4, dropLast: true }), {
    message: "dropLast leaves no batch: 3 samples, batches of 4",
  });
  assert.throws(() => new DataLoader(counting(3), { batchSize: 0 }), {
    name: "ConfigError",
    message: "batchSize: must be an integer >= 1, received 0",
  });
});

test("DataLoader takes what can be awaited, and asks for a row an index", async () => {
  const rows = counting(3);
  const later = (from: number) => ({
    length: 3,
    gather: (indices: ArrayLike<number>) => {
      const batch = rows.gather(Array.from(indices).slice(from));
      const then: PromiseLike<HostBatch>["then"] = (...given) =>
        Promise.resolve(batch).then(...given);
      return { then } as Promise<HostBatch>;
    },
  });
  assert.deepEqual(read(await new DataLoader(later(0), { batchSize: 3 }).load(0)), [0, 1, 2]);
  await assert.rejects(
    async () => await new DataLoader(later(1), { batchSize: 3 }).load(0),
    /^DataError: gather must give one row for each of 3 indices, received 2 rows$/,
  );
});
