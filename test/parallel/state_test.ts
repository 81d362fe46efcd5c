/** Optimizer state that is made in the middle of a run, and other state that is none at its begin. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunView, tf } from "../../mod.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import { Lines, type Overrides } from "../support/runs.ts";
import { regression } from "../runner/support.ts";
import { assertEqual, assertSame, imports, linear, once, runOf } from "./support.ts";

const thaw: Callback = {
  name: "Thaw",
  iterationStart({ state, model: { parameters: { bias } } }: RunView) {
    (bias as { trainable: boolean }).trainable = state.iteration >= 2;
    if (state.iteration === 2) tf.tidy(() => bias.assign(tf.tensor1d([1, 1])));
  },
};
const halve: Callback = {
  name: "Halve",
  gradients(value, { state, model: { parameters: { weight } } }: RunView) {
    if (state.iteration === 1) tf.tidy(() => weight.assign(tf.div(weight, 2)));
    return value;
  },
};

test(
  "first values of optimizer state follow the rate at a parameter's first update",
  once,
  async () => {
    for (const type of ["Rprop", "AdamW"]) {
      await assertEqual({ late: 5 }, () => ({
        optimizer: { type, params: { lr: 0.05 } },
        scheduler: { type: "StepLR", params: { step_size: 1, gamma: 0.5 } },
      }));
    }
  },
);

for (
  const [type, params] of Object.entries({
    SGDScheduleFree: { lr: 0.05 },
    Lookahead: { k: 2, optimizer: { type: "SGD", params: { lr: 0.05 } } },
    Prodigy: { d0: 0.01 },
  })
) {
  test(
    `first values of ${type} follow weights that are set before the first update`,
    once,
    async () => {
      for (const callback of [halve, thaw]) {
        await assertEqual({}, () => ({
          optimizer: { type, params },
          callbacks: [callback] as never,
        }));
      }
    },
  );
}

test("a parameter that is thawed has a gradient, and a part in the norm", once, async () => {
  await assertEqual({ frozen: true }, () => ({
    optimizer: { type: "AdamW", params: { lr: 0.05 } },
    train: { clipGrad: { maxNorm: 0.1 } },
    callbacks: [thaw] as never,
  }));
});

test(
  "rates of many groups may get all their digits in the middle of an iteration",
  once,
  async () => {
    const digits: Callback = {
      name: "Digits",
      gradients(value, { optimizer, state }: RunView) {
        optimizer.paramGroups.forEach((group, i) => group.lr = 1 / (3 + i + state.iteration));
        return value;
      },
    };
    await assertEqual({ more: 150 }, () => ({
      optimizer: {
        type: "AdamW",
        params: { lr: 0.5 },
        groups: Array.from({ length: 150 }, (_, i) => ({ match: `^more${i}$`, lr: 0.5 })),
      },
      callbacks: [digits] as never,
      train: { iterations: 2 },
    }));
  },
);

test(
  "a gradient that is given up at a rollback writes nothing into the next batch",
  once,
  async () => {
    await assertEqual({}, () => {
      const rows = regression(35);
      rows.fields.inputs.data[3 * 20] = NaN;
      return {
        data: { type: () => ({ train: rows, validation: regression(9, { from: 100 }) }) },
        metrics: ["mse", "mae"],
        // The last batch is small: where its metrics lie, the next one has values.
        train: {
          iterations: 3,
          batchSize: 16,
          accumulate: 1,
          metrics: true,
          nonFinite: { rollback: 1 },
        },
        callbacks: [{ type: "SlowLeaves", params: { ms: { 2: 60, 3: 400 } } }],
      };
    });
  },
);

test("a run that is disposed of while it trains leaves no tensor", async () => {
  const tensors: number[] = [];
  for (let i = 0; i < 3; i++) {
    const config = linear(2, {}, { train: { iterations: 1e6 }, checkpoint: false });
    const options = { imports, output: new Lines(), store: new MemoryStore() };
    const run = await IterationRunner.create(config, options);
    const training = assert.rejects(run.train(), /^ConfigError: the run has been disposed$/);
    while (run.state.iteration < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    run.dispose();
    await training;
    tensors.push(tf.memory().numTensors);
  }
  assert.deepEqual(tensors, tensors.map(() => tensors[0]));
});

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

test(
  "a callback that looks at gradients sees the buffers of their iteration, and may set them",
  once,
  async () => {
    for (const [shards, accumulate] of [[1, 1], [2, 1], [2, 2]]) {
      const left = [1, 2].map(async (workers) => {
        const seen: number[] = [];
        const counts = ({ model: { buffers } }: RunView) => buffers!.leaves.dataSync()[0];
        const counting: Callback = {
          name: "Counting",
          gradients(value, run) {
            seen.push(counts(run));
            const { leaves } = run.model.buffers!;
            if (run.state.iteration === 2) tf.tidy(() => leaves.assign(tf.scalar(100)));
            return value;
          },
          updateEnd: (run) => void seen.push(counts(run)),
        };
        const config = linear(workers, {}, {
          train: { accumulate, nonFinite: "skip" },
          shards,
          callbacks: [counting] as never,
        });
        return { ...await runOf(config), seen };
      });
      const [one, two] = await Promise.all(left);
      assert.equal(one.seen[2], 2);
      assert.equal(one.seen[3], 100);
      assert.deepEqual(two.seen, one.seen);
      assertSame(one, two, `${shards} shards`);
    }
  },
);
