import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ArrayDataset } from "../data/array_dataset.ts";
import { DataLoader } from "../data/loader.ts";
import { buildMetrics } from "../metric/registry.ts";
import type { EvaluationLanes } from "./engine.ts";
import { evaluate } from "./evaluate.ts";

const rows = 23, batchSize = 3;
const dataset = new ArrayDataset({
  inputs: { data: Float32Array.from({ length: rows }, (_, i) => i), shape: [rows, 1] },
});
const loader = new DataLoader(dataset, { batchSize });
const metrics = buildMetrics(["mae"]);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Lanes that answer numbers of many sizes, later batches sooner; `bad` fails. */
class Lanes implements EvaluationLanes {
  readonly width: number;
  readonly #bad: number;
  most = 0;
  underWay = 0;

  constructor(width: number, bad = -1) {
    this.width = width;
    this.#bad = bad;
  }

  async run(batch: Record<string, { shape: readonly number[] }>, position: number) {
    this.most = Math.max(this.most, ++this.underWay);
    await pause(2 * (this.width - position / batchSize % this.width));
    this.underWay--;
    const k = position / batchSize;
    if (k >= this.#bad && this.#bad >= 0) throw new Error(`batch ${k} is broken`);
    const perRow = Array.from({ length: batch.inputs.shape[0] }, (_, i) => [
      10 ** ((position + i) % 9) / 7,
      1 + i,
    ]);
    return [10 ** (k % 5) / 3, k + 1, ...perRow.flat()];
  }
}

const calm = () => Promise.resolve();

test("evaluate adds batches in order: the bits do not depend on how many are under way", async () => {
  const expected = await evaluate(metrics, loader, new Lanes(1), calm);
  assert.equal(metrics[0].size, 2);
  for (const width of [2, 3, 5, 20]) {
    const lanes = new Lanes(width);
    assert.deepEqual(await evaluate(metrics, loader, lanes, calm), expected);
    assert.equal(lanes.most, Math.min(width, 8));
    assert.equal(lanes.underWay, 0);
  }
});

for (const width of [1, 3, 20]) {
  test(`evaluate tells of the first batch that fails, ends when none is under way: ${width} at once`, async () => {
    const lanes = new Lanes(width, 2);
    // Others fail too; an unhandled rejection would end the process.
    await assert.rejects(evaluate(metrics, loader, lanes, calm), /^Error: batch 2 is broken$/);
    assert.equal(lanes.underWay, 0);
    await pause(5);
  });
}

test("evaluate waits for what is under way when it is broken off", async () => {
  const lanes = new Lanes(4);
  let breaths = 0;
  const breathe = () => ++breaths === 3 ? Promise.reject(new Error("enough")) : Promise.resolve();
  await assert.rejects(evaluate(metrics, loader, lanes, breathe), /enough/);
  assert.deepEqual([lanes.most, lanes.underWay], [3, 0]);
});
