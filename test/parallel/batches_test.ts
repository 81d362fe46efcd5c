/** Batches that data sets put where the workers look for them, in ways of their own, and batches that are none. */
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { test } from "node:test";
import {
  ArrayDataset,
  type Callback,
  type Dataset,
  type HostBatch,
  type RunConfig,
} from "../../mod.ts";
import type { Allocate } from "../../src/data/dataset.ts";
import type { Fault } from "../support/mortal.ts";
import { createMortal, mortalConfig, type MortalOptions } from "../support/mortal_runs.ts";
import { type Overrides, withFolder } from "../support/runs.ts";
import { regression } from "../runner/support.ts";
import { assertEqual, assertSame, linear, once, partsConfig, runOf } from "./support.ts";

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

/** Puts every batch where the one before was. */
function scratch(source: Dataset): Dataset {
  const arrays: Record<string, Float32Array> = {};
  return {
    length: source.length,
    async gather(indices) {
      const batch = await source.gather(indices);
      return Object.fromEntries(
        Object.entries(batch).map(([name, field]): [string, HostBatch[string]] => {
          const values = (arrays[name] ??= new Float32Array(10_000)).subarray(0, field.data.length);
          values.set(field.data);
          return [name, { ...field, data: values }];
        }),
      );
    },
  };
}

/** Cells of small integers as bytes, which are floats for the model, and targets of integers. */
function bytes(rows: number): Dataset {
  return new ArrayDataset({
    inputs: {
      data: Uint8Array.from({ length: 3 * rows }, (_, i) => 37 * i % 5),
      shape: [rows, 3],
      dtype: "float32",
    },
    targets: {
      data: Float32Array.from({ length: 2 * rows }, (_, i) => i % 3),
      shape: [rows, 2],
      dtype: "int32",
    },
  });
}

const rows: readonly [string, () => Dataset, Overrides][] = [
  ["gaps between the fields of a batch", () => wasteful(100, 16), {
    train: { iterations: 24, batchSize: 20 },
  }],
  ["arrays that are used again", () => scratch(regression(100)), {
    train: { iterations: 9, batchSize: 20 },
  }],
  ["arrays of another class than the dtype's", () => bytes(40), {
    data: { type: () => ({ train: bytes(40), validation: bytes(9) }) },
    train: { iterations: 9, batchSize: 5 },
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

test(
  "Dataset.gather: arrays that are used again are not those of a batch that is computed again",
  once,
  async () => {
    await withFolder(async (folder) => {
      const at = (rows: number, from: number) => {
        const value = (i: number) => Math.sin(from + i / 5);
        const data = (n: number) => Float32Array.from({ length: rows * n }, (_, i) => value(i));
        return scratch(
          new ArrayDataset({
            inputs: { data: data(24), shape: [rows, 12, 2] },
            targets: { data: data(8), shape: [rows, 4, 2] },
          }),
        );
      };
      const train = async (name: string, options: MortalOptions) => {
        const base = mortalConfig(join(folder, name), { iterations: 8, ...options });
        const data = { type: () => ({ train: at(64, 1), validation: at(90, 2) }) };
        const { run, lines } = await createMortal({ ...base, data } as RunConfig);
        try {
          const { weightsSha256, best } = await run.train();
          const lost = lines.filter((line) => line.includes("replacing the workers"));
          return { lost: lost.length, weightsSha256, best };
        } finally {
          run.dispose();
        }
      };
      const faults: Fault[] = [
        { phase: "gradient", way: "throw", after: 2 },
        { phase: "evaluation", way: "throw", access: 2 },
      ];
      const plain = await train("plain", { workers: 1 });
      const struck = await train("struck", { faults });
      assert.ok(struck.lost >= faults.length, `${struck.lost} replacements`);
      assert.deepEqual({ ...struck, lost: 0 }, plain);
    });
  },
);

test(
  "Dataset.gather is given shared memory for the batches of an evaluation with workers",
  once,
  async () => {
    const source = regression(90, { from: 100 });
    const shared: boolean[] = [];
    const validation: Dataset = {
      length: source.length,
      gather: (indices, allocate = fresh) =>
        source.gather(indices, (type, length) => {
          const array = allocate(type, length);
          shared.push((array.buffer as unknown) instanceof SharedArrayBuffer);
          return array;
        }),
    };
    const config = (workers: number) =>
      partsConfig({ workers, data: { type: () => ({ train: regression(20), validation }) } });
    assertSame(await runOf(config(1)), await runOf(config(2)), "2 workers");
    assert.ok(shared.filter(Boolean).length >= 20, `${shared.filter(Boolean).length}`);
  },
);

test(
  "a data set that gathers both parts into one array is asked for one batch after the other",
  once,
  async () => {
    const config = (workers: number): RunConfig => {
      const rows = regression(20);
      const held = new Map<string, Float32Array>();
      const shared = {
        length: rows.length,
        async gather(indices: ArrayLike<number>) {
          const batch = rows.gather(indices);
          for (const [name, field] of Object.entries(batch)) {
            const scratch = held.get(name) ?? new Float32Array(64);
            held.set(name, scratch);
            await new Promise((resolve) => setTimeout(resolve, 10));
            scratch.set(field.data as Float32Array);
            batch[name] = { ...field, data: scratch.subarray(0, field.data.length) };
          }
          return batch;
        },
      };
      return linear(workers, {}, {
        data: { type: () => ({ train: shared, validation: shared }) },
        validation: { interval: 1 },
      });
    };
    assertSame(await runOf(config(1)), await runOf(config(2)), "2 workers");
  },
);

test("a batch of no rows, or of wrong sizes, is refused alike with workers and in process", async () => {
  const emptied: Callback = {
    name: "Emptied",
    batch: (batch) =>
      Object.fromEntries(
        Object.entries(batch).map(([name, field]) => {
          const { data, shape: [, ...inner] } = field;
          return [name, { ...field, data: data.subarray(0, 0), shape: [0, ...inner] }];
        }),
      ),
  };
  const wrong = (change: (values: Float32Array) => Float32Array): Overrides => {
    const rows = regression(20);
    let calls = 0;
    const gather = (indices: ArrayLike<number>) => {
      const batch = rows.gather(indices);
      const { data, ...inputs } = batch.inputs;
      if (++calls < 4) return batch;
      return { ...batch, inputs: { ...inputs, data: change(data as Float32Array) } };
    };
    const train = { length: rows.length, gather };
    return { data: { type: () => ({ train, validation: regression(9, { from: 100 }) }) } };
  };
  const refusals: [() => Overrides, RegExp][] = [
    [
      () => ({ callbacks: [emptied] as never }),
      /^DataError: a batch must have at least one row, received none$/,
    ],
    [
      () => wrong((values) => values.subarray(3)),
      /^DataError: field "inputs": data must have the 15 values of its shape \[5,3\], received 12$/,
    ],
    [
      () => wrong(() => new Float32Array(16)),
      /^DataError: field "inputs": data must have the 15 values of its shape \[5,3\], received 16$/,
    ],
  ];
  for (const [overrides, message] of refusals) {
    for (const workers of [1, 2]) {
      await assert.rejects(
        runOf(linear(workers, {}, { checkpoint: false, ...overrides() })),
        message,
      );
    }
  }
});

test("a rollback goes on after an error that a worker has thrown", once, async () => {
  await assertEqual({}, () => {
    const rows = regression(40);
    for (const row of [3, 17]) rows.fields.inputs.data[3 * row] = NaN;
    return {
      data: { type: () => ({ train: rows, validation: regression(9, { from: 100 }) }) },
      train: {
        iterations: 12,
        accumulate: 1,
        shuffle: true,
        clipGrad: { maxNorm: 1 },
        nonFinite: { rollback: 4 },
      },
      checkpoint: { interval: 2 },
      callbacks: ["ThrowsNonFinite"],
    };
  });
});

test("the final test of a run that is stopped gathers when nothing else does", async () => {
  const rows = regression(20);
  let gathering = 0, most = 0;
  const gather = async (indices: ArrayLike<number>): Promise<HostBatch> => {
    most = Math.max(most, ++gathering);
    await new Promise((resolve) => setTimeout(resolve, 30));
    gathering--;
    return rows.gather(indices);
  };
  const slow: Dataset = { length: rows.length, gather };
  const stopping: Callback = {
    name: "Stopping",
    iterationEnd: (run) => run.state.iteration === 2 ? run.stop("early-stopping") : undefined,
  };
  await runOf(linear(2, {}, {
    data: { type: () => ({ train: slow, validation: regression(9, { from: 100 }), test: slow }) },
    checkpoint: false,
    callbacks: [stopping] as never,
  }));
  assert.equal(most, 1);
});
