/** Optimizer state that is made in the middle of a run, and other state that is none at its begin. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, type RunView, tf } from "../../mod.ts";
import { regression } from "../runner/support.ts";
import { assertEqual, assertSame, linear, once, runOf } from "./support.ts";

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
