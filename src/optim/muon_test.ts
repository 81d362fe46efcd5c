import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { assertClose } from "../../test/support/close.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import { buildOptimizer } from "./builder.ts";
import { orthogonalize } from "./muon.ts";

const settings = {
  ns_coefficients: [3.4445, -4.775, 2.0315] as [number, number, number],
  ns_steps: 5,
  eps: 1e-7,
};

/** An orthogonal matrix: the reflection at a random vector. */
function reflection(n: number, label: string): tf.Tensor2D {
  return tf.tidy(() => {
    const v = tf.tensor2d(randomStream(9, label).normal(new Float32Array(n)), [n, 1]);
    const outer = tf.matMul(v, v, false, true);
    return tf.sub(tf.eye(n), tf.mul(outer, tf.div(2, tf.sum(tf.square(v))))) as tf.Tensor2D;
  });
}

for (const backend of ["cpu", "wasm"] as const) {
  test(`orthogonalize() brings singular values near 1 and keeps the directions on ${backend}`, async () => {
    await useBackend(backend);
    // Shares of the Frobenius norm, and where they must land.
    const rows: [number, number, number][] = [
      ...[0.95, 0.3, 0.1, 0.05, 0.02, 0.012].map((
        s,
      ): [number, number, number] => [s, 0.681, 1.135]),
      [0.004, 0, 1.21],
      [0.001, 0.4, 0.55],
    ];
    const n = rows.length;
    const singular = rows.map(([s]) => s);
    const norm = Math.hypot(...singular);
    for (const [r, c] of [[n, n], [n, n + 5], [n + 5, n]]) {
      const left = reflection(r, "left"), right = reflection(c, "right");
      const middle = tf.tidy(() =>
        tf.pad(tf.diag(tf.tensor1d(singular.map((s) => s / norm * 7))), [[0, r - n], [0, c - n]])
      ) as tf.Tensor2D;
      const u = tf.tidy(() => tf.matMul(tf.matMul(left, middle), right));
      const x = orthogonalize(u as tf.Tensor2D, settings);
      const values = tf.tidy(() => tf.matMul(tf.matMul(left, x, true), right, false, true));
      const landed = values.arraySync() as number[][];
      rows.forEach(([, low, high], i) => {
        const value = landed[i][i];
        assert.ok(
          value >= low && value <= high,
          `${singular[i]} landed at ${value} in [${r}, ${c}]`,
        );
      });
      const off = landed.flatMap((row, i) => row.filter((_, j) => j !== i));
      assertClose(off, off.map(() => 0), 2e-5, "off the diagonal");
      tf.dispose([left, right, middle, u, x, values]);
    }
  });
}

test("Muon with aux gives embeddings, heads, tied and other tensors to AdamW", async () => {
  await useBackend("cpu");
  const of = (...shape: number[]) => tf.variable(tf.ones(shape));
  const tied = of(6, 4);
  const parameters = {
    "decoder.weight": tied,
    "tok_embed.weight": tied,
    "blocks.0.attn.weight": of(4, 4),
    "blocks.0.attn.bias": of(4),
    "blocks.0.scale": of(4, 1),
    "conv.kernel": of(2, 2, 3),
    "lm.head.weight": of(4, 6),
    "transformer/wte/w": of(6, 4),
    "frozen": tf.variable(tf.ones([2, 2]), false),
  };
  const optimizer = buildOptimizer({ type: "Muon", params: { lr: 0.02, aux: true } }, parameters);
  assert.deepEqual(
    optimizer.paramGroups.map(({ names, lr, weight_decay }) => [names, lr, weight_decay]),
    [
      [["blocks.0.attn.weight"], 0.02, 0.1],
      [
        [
          "decoder.weight",
          "blocks.0.attn.bias",
          "blocks.0.scale",
          "conv.kernel",
          "lm.head.weight",
          "transformer/wte/w",
        ],
        3e-4,
        0,
      ],
    ],
  );
  assert.match(
    optimizer.summary(),
    /0 +Muon +all; matrices +1 +16 .*\n1 +AdamW +all; embeddings, /,
  );
  const shared = buildOptimizer({
    type: "Muon",
    params: {
      lr: 0.01,
      adjust_lr_fn: "match_rms_adamw",
      aux: { match: ["attn"], betas: [0.8, 0.9] },
    },
    noDecay: "auto",
  }, parameters);
  assert.deepEqual(
    shared.paramGroups.map((
      { names, lr, weight_decay, betas },
    ) => [names.length, lr, weight_decay, betas]),
    [
      [3, 0.01, 0.1, undefined],
      [3, 0.01, 0.1, [0.8, 0.9]],
      [1, 0.01, 0, [0.8, 0.9]],
    ],
  );
  assert.throws(
    () => buildOptimizer({ type: "Muon" }, parameters),
    /^ConfigError: parameters\.blocks\.0\.attn\.bias: cannot be trained by Muon, which takes matrices only: shape \[4\]; set params\.aux, or /,
  );
  tf.dispose(parameters);
});

test("Muon's layout says which axis is the fan-out", async () => {
  await useBackend("cpu");
  const grad = tf.tensor2d(randomStream(2).normal(new Float32Array(12)), [4, 3]);
  const w = tf.variable(tf.zeros([4, 3])), transposed = tf.variable(tf.zeros([3, 4]));
  buildOptimizer({ type: "Muon" }, { w }).applyGradients({ w: grad });
  const params = { layout: "tfjs" };
  buildOptimizer({ type: "Muon", params }, { w: transposed }).applyGradients({
    w: tf.transpose(grad),
  });
  assertClose(tf.transpose(transposed).dataSync(), w.dataSync(), 1e-7);
});

test("Muon with cautious decay shrinks only what its step shrinks too", async () => {
  await useBackend("cpu");
  const w = tf.variable(tf.tensor2d([[1, -1], [-1, 1]])), still = tf.variable(tf.zeros([2, 2]));
  const grads = { w: tf.tensor2d([[2, 0.1], [0.3, 1]]) };
  const params = { lr: 0.5, weight_decay: 0.5, cautious_weight_decay: true };
  buildOptimizer({ type: "Muon", params }, { w }).applyGradients(grads);
  buildOptimizer({ type: "Muon", params }, { w: still }).applyGradients(grads);
  const step = still.dataSync();
  assertClose(
    w.dataSync(),
    [1, -1, -1, 1].map((p, i) => p * (-step[i] * p >= 0 ? 0.75 : 1) + step[i]),
    1e-6,
  );
});
