import { strict as assert } from "node:assert";
import { test } from "node:test";
import { randomStream } from "../core/random.ts";
import type { HostBatch, IterableDataset, Sample } from "./dataset.ts";
import { StreamLoader, type StreamLoaderOptions } from "./loader.ts";

/** Epoch e yields 100 e, 100 e + 1, ...; counts what is open, read, and closed. */
class Counting implements IterableDataset {
  opened = 0;
  closed = 0;
  read = 0;
  constructor(readonly length: number) {}

  async *open(epoch: number): AsyncGenerator<Sample> {
    this.opened++;
    try {
      for (let i = 0; i < this.length; i++) {
        this.read++;
        await Promise.resolve();
        yield { x: 100 * epoch + i };
      }
    } finally {
      this.closed++;
    }
  }
}

const read = (batch: HostBatch) => [...batch.x.data];

async function take(loader: StreamLoader, limit = Infinity): Promise<number[][]> {
  const found: number[][] = [];
  for await (const batch of loader) {
    found.push(read(batch));
    if (found.length === limit) break;
  }
  return found;
}

test("StreamLoader batches in order, epoch after epoch when infinite", async () => {
  const rows: [StreamLoaderOptions, number[][]][] = [
    [{ batchSize: 2 }, [[0, 1], [2, 3], [4]]],
    [{ batchSize: 2, dropLast: true }, [[0, 1], [2, 3]]],
    [{ batchSize: 2, infinite: true }, [[0, 1], [2, 3], [4], [100, 101], [102, 103], [104], [
      200,
      201,
    ]]],
    [{ batchSize: 2, infinite: true, limitBatches: 1 }, [[0, 1], [100, 101], [200, 201]]],
    [{ batchSize: 5, infinite: true, dropLast: true }, [[0, 1, 2, 3, 4], [
      100,
      101,
      102,
      103,
      104,
    ]]],
  ];
  for (const [options, expected] of rows) {
    const data = new Counting(5);
    const limit = options.infinite ? expected.length : Infinity;
    assert.deepEqual(await take(new StreamLoader(data, options), limit), expected);
    assert.equal(data.opened, data.closed);
    const loader = new StreamLoader(data, options);
    for (const k of [1, 0, expected.length - 1, 0, 1]) {
      if (k < expected.length) assert.deepEqual(read(await loader.load(k)), expected[k]);
    }
    await loader.close();
    assert.equal(data.opened, data.closed);
  }
});

test("load() in order reads every sample once and holds one batch; calls may overlap", async () => {
  const data = new Counting(100);
  const loader = new StreamLoader(data, { batchSize: 10 });
  for (let k = 0; k < 3; k++) {
    await loader.load(k);
    assert.equal(data.read, 10 * (k + 1));
  }
  const both = await Promise.all([loader.load(3), loader.load(4), loader.load(2)]);
  assert.deepEqual(both.map((batch) => read(batch)[0]), [30, 40, 20]);
  await assert.rejects(loader.load(10), {
    name: "RangeError",
    message: "a batch number must be in [0, 10), received 10",
  });
  assert.deepEqual(read(await loader.load(0)).slice(0, 2), [0, 1]);
  await assert.rejects(loader.load(-1), /must be an integer >= 0, received -1/);
  await loader.close();
});

test("a shuffle buffer keeps every sample, holds no more than its size, and repeats", async () => {
  const random = randomStream(3);
  for (let round = 0; round < 20; round++) {
    const n = 1 + random.integer(30), size = 1 + random.integer(12), seed = random.integer(99);
    const options = { batchSize: 1 + random.integer(5), shuffleBuffer: size, seed };
    const data = new Counting(n);
    const order = (await take(new StreamLoader(data, options))).flat();
    assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
    order.forEach((x, i) => assert.ok(x <= i + size, `${x} came at ${i} from a buffer of ${size}`));
    assert.deepEqual((await take(new StreamLoader(data, options))).flat(), order);
    const loader = new StreamLoader(data, { ...options, infinite: true });
    const perEpoch = Math.ceil(n / options.batchSize);
    const later = read(await loader.load(perEpoch + 1 - 1));
    assert.ok(later.every((x) => x >= 100));
    await loader.close();
  }
  const options = { batchSize: 30, shuffleBuffer: 30 };
  const [a] = await take(new StreamLoader(new Counting(30), { ...options, seed: 1 }));
  const [b] = await take(new StreamLoader(new Counting(30), { ...options, seed: 2 }));
  assert.notDeepEqual(a, b);
});

test("an epoch without a batch is an error, so is one that cannot be opened again", async () => {
  const cases: [IterableDataset, StreamLoaderOptions, RegExp][] = [
    [new Counting(0), {}, /^DataError: epoch 0 of the stream is empty: open\(epoch\) must begin/],
    [
      new Counting(2),
      { batchSize: 3, dropLast: true },
      /dropLast leaves no batch: epoch 0 of the stream has 2 samples, batches of 3$/,
    ],
  ];
  for (const [data, options, message] of cases) {
    await assert.rejects(take(new StreamLoader(data, options)), message);
    await assert.rejects(new StreamLoader(data, options).load(0), message);
  }
  const once = new Counting(2).open(0);
  const loader = new StreamLoader({ open: () => once }, { infinite: true, batchSize: 2 });
  assert.deepEqual(read(await loader.load(0)), [0, 1]);
  await assert.rejects(loader.load(1), /epoch 1 of the stream is empty/);
});
