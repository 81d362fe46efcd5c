import { strict as assert } from "node:assert";
import { before, test } from "node:test";
import { normed, regression } from "../../test/runner/support.ts";
import { useBackend } from "../../test/support/backend.ts";
import { randomStream } from "../core/random.ts";
import { buildLoss } from "../loss/registry.ts";
import { buildMetrics } from "../metric/registry.ts";
import type { ForwardContext, Model } from "../model/model.ts";
import { dropout } from "../nn/dropout.ts";
import { buildTask } from "../task/registry.ts";
import * as tf from "../tensor/tf.ts";
import { BinaryCounter } from "./binary_counter.ts";
import { Hooks } from "./hooks.ts";
import type { PassParts } from "./leaf_gradient.ts";
import { addLeaves, type Bounds, chunkBounds, type LeafSum, sumLeaves } from "./leaves.ts";

before(() => useBackend("cpu"));

/** Batch norm, a counter of passes, dropout, and a parameter that half of the leaves do not reach. */
function model(): Model {
  const base = normed();
  const extra = tf.tidy(() => tf.variable(tf.tensor1d([0.1, -0.2])));
  return {
    parameters: { ...base.parameters, extra },
    buffers: base.buffers,
    forward(batch, context: ForwardContext) {
      const y = base.forward(batch, context) as tf.Tensor;
      const { random } = context;
      const dropped = dropout(y, 0.3, { training: true, random });
      return random.fork("extra").integer(2) === 0 ? dropped : tf.add(dropped, extra);
    },
  };
}

function passParts(of: Model): PassParts {
  return {
    model: of,
    task: buildTask("forecasting"),
    loss: buildLoss("huber"),
    trainMetrics: buildMetrics(["mae"]),
    hooks: new Hooks([]),
    breathe: () => Promise.resolve(),
  };
}

const values = (tensors: Iterable<tf.Tensor>) => [...tensors].map((t) => [...t.dataSync()]);

function read({ grads, lossSum, count, metricSums, moved }: LeafSum) {
  return {
    grads: Object.fromEntries(Object.entries(grads).map(([name, t]) => [name, [...t.dataSync()]])),
    rest: values([lossSum, metricSums!, ...moved]),
    count: typeof count === "number" ? count : [...count.dataSync()],
  };
}

const cuts = [
  { leaves: 1, shards: 4, chunks: [[0, 1]] },
  { leaves: 4, shards: 4, chunks: [[0, 1], [1, 2], [2, 3], [3, 4]] },
  { leaves: 3, shards: 2, chunks: [[0, 2], [2, 3]] },
  { leaves: 8, shards: 3, chunks: [[0, 2], [2, 4], [4, 6], [6, 8]] },
  { leaves: 9, shards: 3, chunks: [[0, 4], [4, 8], [8, 9]] },
  { leaves: 5, shards: 1, chunks: [[0, 5]] },
  { leaves: 7, shards: 4, chunks: [[0, 2], [2, 4], [4, 6], [6, 7]] },
];

for (const { leaves, shards, chunks } of cuts) {
  test(`chunkBounds cuts ${leaves} leaves of ${shards} shards into ${chunks.length}`, () => {
    assert.deepEqual(chunkBounds(leaves, shards), chunks);
  });
}

for (const missing of [0, 5]) {
  const what = missing === 0 ? "counts known on the host" : "masked cells";
  test(`sumLeaves of chunks, added up, has the bits of all leaves in one: ${what}`, async () => {
    const trained = model();
    const parts = passParts(trained);
    const buffers = Object.values(trained.buffers!);
    const start = buffers.map((buffer) => tf.clone(buffer));
    const random = randomStream(3);
    const tensors = tf.memory().numTensors;
    for (let leaves = 1; leaves <= 11; leaves++) {
      const rows = 3 * leaves;
      const batch = await regression(rows, { missing }).gather(
        Uint32Array.from({ length: rows }, (_, i) => i),
      );
      // 2, 3 and 4 rows in turn.
      const ends = Array.from({ length: leaves }, (_, i) => 3 * i + 2 + i % 2);
      ends[leaves - 1] = rows;
      const bounds: Bounds = ends.map((end, i) => [i === 0 ? 0 : ends[i - 1], end]);
      const sum = async (range?: { from: number; to: number }) => {
        buffers.forEach((buffer, k) => buffer.assign(start[k]));
        return await sumLeaves(parts, batch, bounds, 1, random, range);
      };
      const whole = await sum();
      const expected = read(whole), after = values(buffers);
      assert.equal(typeof whole.count, missing === 0 ? "number" : "object");
      assert.equal(whole.moved.length, leaves === 1 ? 0 : 3);
      assert.equal(after[2][0], 1, "one pass from the buffers of the call");
      for (const shards of [1, 2, 3, 4, 8]) {
        const tree = new BinaryCounter(addLeaves);
        for (const [from, to] of chunkBounds(leaves, shards)) tree.push(await sum({ from, to }));
        const total = tree.total();
        assert.deepEqual(read(total), expected, `${leaves} leaves, ${shards} shards`);
        assert.deepEqual(values(buffers), after, "buffers of the last leaf");
        tf.dispose(total as unknown as tf.TensorContainer);
      }
      tf.dispose(whole as unknown as tf.TensorContainer);
    }
    assert.equal(tf.memory().numTensors, tensors);
    tf.dispose([start, Object.values(trained.parameters), buffers]);
  });
}

test("sumLeaves puts the buffers back and frees what it has when a leaf throws", async () => {
  const trained = model();
  const forward = trained.forward;
  let calls = 0;
  const broken: Model = {
    ...trained,
    forward(batch, context) {
      const output = forward(batch, context);
      if (++calls === 4) throw new Error("broken");
      return output;
    },
  };
  const buffers = Object.values(trained.buffers!);
  const start = values(buffers);
  const batch = await regression(10).gather([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const bounds: Bounds = [[0, 2], [2, 4], [4, 6], [6, 8], [8, 10]];
  const tensors = tf.memory().numTensors;
  await assert.rejects(sumLeaves(passParts(broken), batch, bounds, 1, randomStream(3)), /broken/);
  assert.equal(tf.memory().numTensors, tensors);
  assert.deepEqual(values(buffers), start);
  tf.dispose([Object.values(trained.parameters), buffers]);
});
