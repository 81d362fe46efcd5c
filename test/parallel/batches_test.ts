/** Data sets that put batches where the workers look for them, in ways of their own. */
import { test } from "node:test";
import type { Dataset, HostBatch } from "../../mod.ts";
import type { Allocate } from "../../src/data/dataset.ts";
import type { Overrides } from "../support/runs.ts";
import { regression } from "../runner/support.ts";
import { assertSame, once, partsConfig, runOf } from "./support.ts";

const fresh: Allocate = (type, length) => new type(length);

/** Copies of the fields in arrays of `allocate`, empty. */
function emptyLike(batch: HostBatch, allocate: Allocate): HostBatch {
  return Object.fromEntries(
    Object.entries(batch).map(([name, field]): [string, HostBatch[string]] => {
      const type = field.data.constructor as Float32ArrayConstructor;
      return [name, { ...field, data: allocate(type, field.data.length) }];
    }),
  );
}

/** Takes more than the batch needs before it puts the batch there. */
function wasteful(rows: number, floats: number): Dataset {
  const source = regression(rows);
  return {
    length: rows,
    gather(indices, allocate = fresh) {
      const batch = source.gather(indices);
      allocate(Float32Array, floats);
      const out = emptyLike(batch, allocate);
      for (const name of Object.keys(batch)) out[name].data.set(batch[name].data);
      return out;
    },
  };
}

/** Row `bad` makes the loss not finite, and the batch after its own comes row by row, at its time. */
function slow(rows: number, bad: number, batchSize: number): Dataset {
  const source = regression(rows);
  source.fields.inputs.data[3 * bad] = NaN;
  const late = Math.ceil((bad + 1) / batchSize) * batchSize;
  let isOver = false;
  return {
    length: rows,
    async gather(indices, allocate = fresh) {
      const batch = source.gather(indices);
      const out = emptyLike(batch, allocate);
      const waits = indices[0] === late && !isOver;
      isOver ||= waits;
      for (let row = 0; row < indices.length; row++) {
        if (waits) await new Promise((resolve) => setTimeout(resolve, 5));
        for (const name of Object.keys(batch)) {
          const width = batch[name].data.length / indices.length;
          const values = batch[name].data.subarray(row * width, (row + 1) * width);
          out[name].data.set(values, row * width);
        }
      }
      return out;
    },
  };
}

const rows: readonly [string, () => Dataset, Overrides][] = [
  ["gaps between the fields of a batch", () => wasteful(100, 16), {
    train: { iterations: 24, batchSize: 20 },
  }],
  ["a batch that is still loaded when the run goes back", () => slow(60, 31, 5), {
    train: { iterations: 12, batchSize: 5, shuffle: false, nonFinite: { rollback: 1 } },
  }],
];

for (const [title, train, overrides] of rows) {
  test(`Dataset.gather: ${title} leaves what the workers compute with alone`, once, async () => {
    const config = (workers: number) =>
      partsConfig({
        workers,
        model: { type: "TestParts", params: { towers: 2 } },
        data: { type: () => ({ train: train(), validation: regression(9, { from: 100 }) }) },
        optimizer: { type: "AdamW", params: { lr: 0.05 } },
        checkpoint: { interval: 4 },
        validation: { interval: 24 },
        ...overrides,
      });
    assertSame(await runOf(config(1)), await runOf(config(2)), "2 workers");
  });
}
